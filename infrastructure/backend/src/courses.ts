import { z } from 'zod'
import { type Page, page } from './page.ts'
import { keyReused, missing } from './problem.ts'
import type { Session } from './session.ts'

export const courseInput = z.strictObject({
  code: z.string().regex(/^[A-Z]{2,6}-\d{1,4}$/, 'a code is like MATH-101'),
  title: z.string().trim().min(1).max(200),
  capacity: z.number().int().min(1).max(10_000),
})
export type CourseInput = z.infer<typeof courseInput>

export interface Course extends CourseInput {
  readonly id: string
  /** Places taken. */
  readonly enrolled: number
  /** RFC 3339, UTC. */
  readonly createdAt: string
}

const columns = `id, code, title, capacity, created_at AS "createdAt",
  (SELECT count(*)::int FROM enrollments WHERE course_id = courses.id) AS enrolled`

export async function listCourses(session: Session, limit: number, after = ''): Promise<Page<Course>> {
  const sql = `SELECT ${columns} FROM courses WHERE code > $1 ORDER BY code LIMIT $2`
  return page(await session.query<Course>(sql, [after, limit + 1]), limit, (course) => course.code)
}

export async function readCourse(session: Session, id: string): Promise<Course> {
  const [course] = await session.query<Course>(`SELECT ${columns} FROM courses WHERE id = $1`, [id])
  if (course === undefined) throw missing('course', id)
  return course
}

/** Makes the course with this id, or finds that it did so before. */
export async function createCourse(session: Session, id: string, input: CourseInput): Promise<Course> {
  await session.query(
    'INSERT INTO courses (id, code, title, capacity) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING',
    [id, input.code, input.title, input.capacity],
  )
  const course = await readCourse(session, id)
  if (course.code !== input.code) throw keyReused()
  return course
}

export async function replaceCourse(session: Session, id: string, input: CourseInput): Promise<Course> {
  await session.query('UPDATE courses SET code = $2, title = $3, capacity = $4 WHERE id = $1', [
    id,
    input.code,
    input.title,
    input.capacity,
  ])
  return readCourse(session, id)
}

/** In a second attempt nothing left to remove is what the first one achieved. */
export async function removeCourse(session: Session, id: string): Promise<void> {
  const removed = await session.query('DELETE FROM courses WHERE id = $1 RETURNING id', [id])
  if (removed.length === 0 && session.attempt === 1) throw missing('course', id)
}
