import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { courseInput, createCourse, listCourses, removeCourse } from '../../../infrastructure/backend/src/courses.ts'
import { createEnrollment } from '../../../infrastructure/backend/src/enrollments.ts'
import { identify } from '../../../infrastructure/backend/src/identity.ts'
import { pageQuery } from '../../../infrastructure/backend/src/page.ts'
import { fromDatabase, Problem } from '../../../infrastructure/backend/src/problem.ts'
import type { Session } from '../../../infrastructure/backend/src/session.ts'
import { studentInput } from '../../../infrastructure/backend/src/students.ts'

/** A session that answers each statement with the rows of the first pattern that it matches. */
function session(answers: readonly (readonly [RegExp, readonly object[]])[], attempt = 1) {
  const statements: string[] = []
  const fake: Session = {
    attempt,
    query: async <Row>(sql: string) => {
      statements.push(sql.trim().split(/\s+/).slice(0, 2).join(' '))
      return (answers.find(([pattern]) => pattern.test(sql))?.[1] ?? []) as readonly Row[]
    },
    transaction: (work) => work(),
  }
  return { session: fake, statements }
}

async function problem(running: Promise<unknown>): Promise<number> {
  const thrown = await running.then(
    () => undefined,
    (error) => error,
  )
  assert.instance(thrown, Problem)
  return thrown.details.status
}

const inputs = suite('inputs')

inputs('are checked and brought to one form', () => {
  assert.equal(studentInput.parse({ name: ' Ada ', email: ' ADA@Example.org' }), {
    name: 'Ada',
    email: 'ada@example.org',
  })
  for (const code of ['math-101', 'M-1', 'MATH101', 'MATH-12345', ''])
    assert.not(courseInput.safeParse({ code, title: 'x', capacity: 1 }).success, code)
  for (const capacity of [0, 1.5, '3', 10_001])
    assert.not(courseInput.safeParse({ code: 'MATH-1', title: 'x', capacity }).success, String(capacity))
  assert.equal(pageQuery.parse({}), { limit: 50 })
  assert.is(pageQuery.parse({ limit: '7' }).limit, 7)
})

inputs('the same key is the same id for a kind, and valid as a UUID', () => {
  assert.is(identify('course', 'a'), identify('course', 'a'))
  assert.is.not(identify('course', 'a'), identify('student', 'a'))
  assert.match(identify('course', 'a'), /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  assert.is.not(identify('course', undefined), identify('course', undefined))
})

inputs.run()

const changes = suite('changes that may be tried again')
const course = { id: 'c', code: 'MATH-1', title: 'x', capacity: 1 }

changes('a create that was done before finds what it made; a key used for another thing is refused', async () => {
  const { session: again } = session([[/^SELECT/, [course]]], 2)
  assert.is(await createCourse(again, 'c', { code: 'MATH-1', title: 'x', capacity: 1 }), course)
  assert.is(await problem(createCourse(again, 'c', { code: 'ART-1', title: 'x', capacity: 1 })), 422)
})

changes('nothing to remove is an error at first, and a success when tried again', async () => {
  assert.is(await problem(removeCourse(session([]).session, 'c')), 404)
  await removeCourse(session([], 2).session, 'c')
})

const place = { courseId: 'c', studentId: 's' }
const locked = [/FOR UPDATE/, [{ capacity: 1 }]] as const
const student = [/FROM students WHERE/, [{ id: 's' }]] as const

changes('a full course takes nobody, but lets who is in be found again', async () => {
  const full = [/count/, [{ places: 1 }]] as const
  const { session: fresh, statements } = session([locked, student, full])
  assert.is(await problem(createEnrollment(fresh, 'e', place)), 409)
  assert.not.ok(statements.includes('INSERT INTO'))
  const before = { id: 'e', ...place }
  const { session: again } = session([locked, [/WHERE e\.id/, [before]], full], 2)
  assert.is(await createEnrollment(again, 'e', place), before)
  assert.is(await problem(createEnrollment(again, 'e', { ...place, studentId: 'other' })), 422)
})

changes('a course or a student that is not there is said', async () => {
  assert.is(await problem(createEnrollment(session([]).session, 'e', place)), 404)
  assert.is(await problem(createEnrollment(session([locked]).session, 'e', place)), 404)
})

changes('one row more than asked for makes a next page', async () => {
  const rows = ['A-1', 'B-1', 'C-1'].map((code) => ({ ...course, code }))
  const listed = await listCourses(session([[/^SELECT/, rows]]).session, 2)
  assert.is(listed.items.length, 2)
  assert.is(listed.next, 'B-1')
  assert.is((await listCourses(session([[/^SELECT/, rows]]).session, 3)).next, undefined)
})

changes('constraints are told in words', () => {
  const violation = Object.assign(new Error('x'), { code: '23505', constraint: 'students_email_key' })
  assert.is(fromDatabase(violation)?.details.detail, 'another student has this e-mail address')
  assert.is(fromDatabase(new Error('x')), undefined)
})

changes.run()
