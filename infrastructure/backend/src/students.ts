import { z } from 'zod'
import { type Page, page } from './page.ts'
import { keyReused, missing } from './problem.ts'
import type { Session } from './session.ts'

export const studentInput = z.strictObject({
  name: z.string().trim().min(1).max(200),
  email: z.string().trim().toLowerCase().pipe(z.email()),
})
export type StudentInput = z.infer<typeof studentInput>

export interface Student extends StudentInput {
  readonly id: string
  /** RFC 3339, UTC. */
  readonly createdAt: string
}

const columns = 'id, name, email, created_at AS "createdAt"'

export async function listStudents(session: Session, limit: number, after = ''): Promise<Page<Student>> {
  const sql = `SELECT ${columns} FROM students WHERE email > $1 ORDER BY email LIMIT $2`
  return page(await session.query<Student>(sql, [after, limit + 1]), limit, (student) => student.email)
}

export async function readStudent(session: Session, id: string): Promise<Student> {
  const [student] = await session.query<Student>(`SELECT ${columns} FROM students WHERE id = $1`, [id])
  if (student === undefined) throw missing('student', id)
  return student
}

/** Makes the student with this id, or finds that it did so before. */
export async function createStudent(session: Session, id: string, input: StudentInput): Promise<Student> {
  await session.query('INSERT INTO students (id, name, email) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING', [
    id,
    input.name,
    input.email,
  ])
  const student = await readStudent(session, id)
  if (student.email !== input.email) throw keyReused()
  return student
}

export async function replaceStudent(session: Session, id: string, input: StudentInput): Promise<Student> {
  await session.query('UPDATE students SET name = $2, email = $3 WHERE id = $1', [id, input.name, input.email])
  return readStudent(session, id)
}

/** In a second attempt nothing left to remove is what the first one achieved. */
export async function removeStudent(session: Session, id: string): Promise<void> {
  const removed = await session.query('DELETE FROM students WHERE id = $1 RETURNING id', [id])
  if (removed.length === 0 && session.attempt === 1) throw missing('student', id)
}
