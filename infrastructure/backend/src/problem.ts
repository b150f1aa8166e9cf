/** What a client is told of a failure: RFC 9457 problem details. */
export interface ProblemDetails {
  readonly title: string
  readonly status: number
  readonly detail: string
  /** Inputs at fault, a dotted path each. */
  readonly errors?: readonly { readonly path: string; readonly message: string }[]
}

/** A failure that is the client's to read. */
export class Problem extends Error {
  override readonly name = 'Problem'
  readonly details: ProblemDetails
  constructor(details: ProblemDetails) {
    super(details.detail)
    this.details = details
  }
}

/** 404 that names what there is none of. */
export function missing(noun: string, id: string): Problem {
  return new Problem({ title: 'Not found', status: 404, detail: `there is no ${noun} ${id}` })
}

/** 409 for what contradicts what is stored. */
export function conflict(detail: string): Problem {
  return new Problem({ title: 'Conflict', status: 409, detail })
}

/** 422: an idempotency key that stood for something else before (draft-ietf-httpapi-idempotency-key-header). */
export function keyReused(): Problem {
  const detail = 'this Idempotency-Key was used for another request'
  return new Problem({ title: 'Idempotency key reused', status: 422, detail })
}

/** Constraint names of the schema to what they mean to a client. */
const constraints: Readonly<Record<string, string>> = {
  courses_code_key: 'another course has this code',
  students_email_key: 'another student has this e-mail address',
  enrollments_course_student_key: 'this student is enrolled in this course already',
  enrollments_course_fkey: 'the course has enrollments, or is gone',
  enrollments_student_fkey: 'the student has enrollments, or is gone',
}

/** The problem in what PostgreSQL refused (unique and foreign key violations, missing tables), or undefined. */
export function fromDatabase(thrown: unknown): Problem | undefined {
  if (!(thrown instanceof Error)) return undefined
  const { code, constraint } = thrown as { readonly code?: unknown; readonly constraint?: unknown }
  if (code === '23505' || code === '23503')
    return conflict(constraints[String(constraint)] ?? 'it contradicts another row')
  if (code === '42P01') {
    const detail = 'the tables are missing: apply the migrations'
    return new Problem({ title: 'Schema missing', status: 503, detail })
  }
  return undefined
}
