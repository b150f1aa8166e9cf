import type { FastifyInstance, FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { Cache } from './cache.ts'
import { courseInput, createCourse, listCourses, readCourse, removeCourse, replaceCourse } from './courses.ts'
import type { Work } from './database.ts'
import {
  createEnrollment,
  enrollmentInput,
  enrollmentQuery,
  listEnrollments,
  readEnrollment,
  removeEnrollment,
} from './enrollments.ts'
import { identify } from './identity.ts'
import { type Page, pageQuery } from './page.ts'
import { idempotencyKey, runOptions } from './request.ts'
import type { Session } from './session.ts'
import { createStudent, listStudents, readStudent, removeStudent, replaceStudent, studentInput } from './students.ts'

const idParams = z.strictObject({ id: z.uuid() })

/** How one kind of thing is kept; `group` is its part of the cache. */
interface Collection<Input, Query extends { readonly limit: number }> {
  readonly kind: string
  readonly group: string
  /** Groups that a change makes stale. */
  readonly stales: readonly string[]
  readonly input: z.ZodType<Input>
  readonly query: z.ZodType<Query>
  readonly list: (session: Session, query: Query) => Promise<Page<unknown>>
  readonly read: (session: Session, id: string) => Promise<unknown>
  readonly create: (session: Session, id: string, input: Input) => Promise<unknown>
  readonly replace?: (session: Session, id: string, input: Input) => Promise<unknown>
  readonly remove: (session: Session, id: string) => Promise<void>
}

/** The REST resources, under /api. */
export function addRoutes(server: FastifyInstance, parts: { readonly database: Work; readonly cache: Cache }): void {
  addCollection(server, parts, {
    kind: 'course',
    group: 'courses',
    stales: ['courses', 'enrollments'],
    input: courseInput,
    query: pageQuery,
    list: (session, { limit, after }) => listCourses(session, limit, after),
    read: readCourse,
    create: createCourse,
    replace: replaceCourse,
    remove: removeCourse,
  })
  addCollection(server, parts, {
    kind: 'student',
    group: 'students',
    stales: ['students', 'enrollments'],
    input: studentInput,
    query: pageQuery,
    list: (session, { limit, after }) => listStudents(session, limit, after),
    read: readStudent,
    create: createStudent,
    replace: replaceStudent,
    remove: removeStudent,
  })
  addCollection(server, parts, {
    kind: 'enrollment',
    group: 'enrollments',
    stales: ['courses', 'enrollments'],
    input: enrollmentInput,
    query: enrollmentQuery,
    list: listEnrollments,
    read: readEnrollment,
    create: createEnrollment,
    remove: removeEnrollment,
  })
}

function addCollection<Input, Query extends { readonly limit: number }>(
  server: FastifyInstance,
  { database, cache }: { readonly database: Work; readonly cache: Cache },
  collection: Collection<Input, Query>,
): void {
  const path = `/api/${collection.group}`
  const change = async <T>(request: FastifyRequest, work: (session: Session) => Promise<T>): Promise<T> => {
    const value = await database.run(work, runOptions(request))
    await Promise.all(collection.stales.map((group) => cache.forget(group)))
    return value
  }

  server.get(path, { schema: { querystring: collection.query } }, (request) => {
    const query = request.query as Query
    const key = `${collection.group}:${JSON.stringify(query)}`
    const list = () => database.run((session) => collection.list(session, query), runOptions(request))
    return cache.through(key, list)
  })

  server.post(path, { schema: { body: collection.input } }, async (request, reply) => {
    const id = identify(collection.kind, idempotencyKey(request))
    const made = await change(request, (session) => collection.create(session, id, request.body as Input))
    return reply.code(201).header('location', `${path}/${id}`).send(made)
  })

  server.get<{ Params: { id: string } }>(`${path}/:id`, { schema: { params: idParams } }, (request) =>
    database.run((session) => collection.read(session, request.params.id), runOptions(request)),
  )

  const { replace } = collection
  if (replace !== undefined)
    server.put<{ Params: { id: string } }>(
      `${path}/:id`,
      { schema: { params: idParams, body: collection.input } },
      (request) => change(request, (session) => replace(session, request.params.id, request.body as Input)),
    )

  server.delete<{ Params: { id: string } }>(`${path}/:id`, { schema: { params: idParams } }, async (request, reply) => {
    await change(request, (session) => collection.remove(session, request.params.id))
    return reply.code(204).send()
  })
}
