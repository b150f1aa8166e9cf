import { randomUUID } from 'node:crypto'
import { headers } from 'next/headers'
import { Backend, type Course, type Enrollment, type Student } from '../lib/backend.ts'
import { EnrollForm } from './enroll-form.tsx'

// What it shows lives in the database: never prerendered.
export const dynamic = 'force-dynamic'

export default async function CoursesPage() {
  const backend = new Backend({ traceparent: (await headers()).get('traceparent') })
  try {
    const [courses, students, enrollments] = await Promise.all([
      backend.courses(),
      backend.students(),
      backend.enrollments(),
    ])
    return (
      <main>
        <h1>Courses</h1>
        <CourseTable courses={courses} />
        <h2>Enroll a student</h2>
        <EnrollForm courses={courses} students={students} requestKey={randomUUID()} />
        <h2>Enrollments</h2>
        <EnrollmentTable enrollments={enrollments} students={students} />
      </main>
    )
  } catch (thrown) {
    return (
      <main>
        <h1>Courses</h1>
        <p role="alert">The courses can not be shown: {(thrown as Error).message}.</p>
      </main>
    )
  }
}

function CourseTable({ courses }: { readonly courses: readonly Course[] }) {
  if (courses.length === 0) return <p>There are no courses yet.</p>
  return (
    <table id="courses">
      <thead>
        <tr>
          <th>Code</th>
          <th>Title</th>
          <th>Places taken</th>
        </tr>
      </thead>
      <tbody>
        {courses.map((course) => (
          <tr key={course.id}>
            <td>{course.code}</td>
            <td>{course.title}</td>
            <td className="number">
              {course.enrolled} of {course.capacity}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

function EnrollmentTable(props: {
  readonly enrollments: readonly Enrollment[]
  readonly students: readonly Student[]
}) {
  if (props.enrollments.length === 0)
    return <p>{props.students.length === 0 ? 'There are no students yet.' : 'Nobody is enrolled yet.'}</p>
  return (
    <table id="enrollments">
      <thead>
        <tr>
          <th>Student</th>
          <th>Course</th>
          <th>Since</th>
        </tr>
      </thead>
      <tbody>
        {props.enrollments.map((enrollment) => (
          <tr key={enrollment.id}>
            <td>{enrollment.student.name}</td>
            <td>
              {enrollment.course.code} {enrollment.course.title}
            </td>
            <td>
              <time dateTime={enrollment.enrolledAt}>{enrollment.enrolledAt.slice(0, 10)}</time>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}
