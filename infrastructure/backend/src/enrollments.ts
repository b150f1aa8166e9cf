import { z } from 'zod'
import { type Page, page, pageQuery } from './page.ts'
import { conflict, keyReused, missing } from './problem.ts'
import type { Session } from './session.ts'

export const enrollmentInput = z.strictObject({ courseId: z.uuid(), studentId: z.uuid() })
export type EnrollmentInput = z.infer<typeof enrollmentInput>

/** Query of the listing: a page's, narrowed to a course, a student or both. */
export const enrollmentQuery = pageQuery.extend({
  after: z.uuid().optional(),
  courseId: z.uuid().optional(),
  studentId: z.uuid().optional(),
})

export interface Enrollment extends EnrollmentInput {
  readonly id: string
  readonly course: { readonly code: string; readonly title: string }
  readonly student: { readonly name: string }
  /** RFC 3339, UTC. */
  readonly enrolledAt: string
}

const select = `SELECT e.id, e.course_id AS "courseId", e.student_id AS "studentId", e.enrolled_at AS "enrolledAt",
  json_build_object('code', c.code, 'title', c.title) AS course, json_build_object('name', s.name) AS student
  FROM enrollments e JOIN courses c ON c.id = e.course_id JOIN students s ON s.id = e.student_id`

export async function listEnrollments(
  session: Session,
  query: z.infer<typeof enrollmentQuery>,
): Promise<Page<Enrollment>> {
  const rows = await session.query<Enrollment>(
    `${select} WHERE ($1::uuid IS NULL OR e.course_id = $1) AND ($2::uuid IS NULL OR e.student_id = $2)
      AND ($3::uuid IS NULL OR e.id > $3) ORDER BY e.id LIMIT $4`,
    [query.courseId ?? null, query.studentId ?? null, query.after ?? null, query.limit + 1],
  )
  return page(rows, query.limit, (enrollment) => enrollment.id)
}

async function findEnrollment(session: Session, id: string): Promise<Enrollment | undefined> {
  return (await session.query<Enrollment>(`${select} WHERE e.id = $1`, [id]))[0]
}

export async function readEnrollment(session: Session, id: string): Promise<Enrollment> {
  const enrollment = await findEnrollment(session, id)
  if (enrollment === undefined) throw missing('enrollment', id)
  return enrollment
}

/**
 * Enrolls a student while the course has a place, or finds that this id did so before. The course's row is locked so
 * that two requests can not both take the last place.
 */
export async function createEnrollment(session: Session, id: string, input: EnrollmentInput): Promise<Enrollment> {
  return session.transaction(async () => {
    const [course] = await session.query<{ readonly capacity: number }>(
      'SELECT capacity FROM courses WHERE id = $1 FOR UPDATE',
      [input.courseId],
    )
    if (course === undefined) throw missing('course', input.courseId)
    const before = await findEnrollment(session, id)
    if (before !== undefined) {
      if (before.courseId !== input.courseId || before.studentId !== input.studentId) throw keyReused()
      return before
    }
    const [student] = await session.query('SELECT id FROM students WHERE id = $1', [input.studentId])
    if (student === undefined) throw missing('student', input.studentId)
    const [taken] = await session.query<{ readonly places: number }>(
      'SELECT count(*)::int AS places FROM enrollments WHERE course_id = $1',
      [input.courseId],
    )
    if (taken!.places >= course.capacity) throw conflict(`the course is full: ${course.capacity} places`)
    await session.query('INSERT INTO enrollments (id, course_id, student_id) VALUES ($1, $2, $3)', [
      id,
      input.courseId,
      input.studentId,
    ])
    return readEnrollment(session, id)
  })
}

/** In a second attempt nothing left to remove is what the first one achieved. */
export async function removeEnrollment(session: Session, id: string): Promise<void> {
  const removed = await session.query('DELETE FROM enrollments WHERE id = $1 RETURNING id', [id])
  if (removed.length === 0 && session.attempt === 1) throw missing('enrollment', id)
}
