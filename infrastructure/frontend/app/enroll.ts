'use server'

import { revalidatePath } from 'next/cache'
import { headers } from 'next/headers'
import { Backend, type Outcome } from '../lib/backend.ts'

/** The form's server side: enrolls, and has the page read again. */
export async function enroll(_: Outcome | undefined, form: FormData): Promise<Outcome> {
  const backend = new Backend({ traceparent: (await headers()).get('traceparent') })
  try {
    const place = { courseId: field(form, 'courseId'), studentId: field(form, 'studentId') }
    const outcome = await backend.enroll(place, field(form, 'key'))
    revalidatePath('/')
    return outcome
  } catch (thrown) {
    return { state: 'refused', reason: (thrown as Error).message }
  }
}

function field(form: FormData, name: string): string {
  const value = form.get(name)
  if (typeof value !== 'string' || value === '') throw new Error(`the form has no ${name}`)
  return value
}
