'use client'

import { useActionState } from 'react'
import type { Course, Student } from '../lib/backend.ts'
import { enroll } from './enroll.ts'

interface Props {
  readonly courses: readonly Course[]
  readonly students: readonly Student[]
  /** Names this form's one change: sent twice, it still enrolls once. */
  readonly requestKey: string
}

export function EnrollForm({ courses, students, requestKey }: Props) {
  const [outcome, submit, pending] = useActionState(enroll, undefined)
  if (courses.length === 0 || students.length === 0) return <p>It takes a course and a student.</p>
  return (
    <form action={submit}>
      <input type="hidden" name="key" value={requestKey} />
      <label>
        Student
        <select name="studentId">
          {students.map((student) => (
            <option key={student.id} value={student.id}>
              {student.name}
            </option>
          ))}
        </select>
      </label>
      <label>
        Course
        <select name="courseId">
          {courses.map((course) => (
            <option key={course.id} value={course.id}>
              {course.code} {course.title}
            </option>
          ))}
        </select>
      </label>
      <button type="submit" disabled={pending}>
        {pending ? 'Enrolling' : 'Enroll'}
      </button>
      {outcome?.state === 'done' && <p role="status">Enrolled.</p>}
      {outcome?.state === 'refused' && <p role="alert">Not enrolled: {outcome.reason}.</p>}
    </form>
  )
}
