/** Data and its description: what JSON holds, and schemas of whatever library. */

/** What JSON can hold. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

/** The part of Standard Schema v1 (standardschema.dev) that is used here; zod 4 schemas satisfy it. */
export interface Schema<Out = unknown, In = unknown> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => SchemaResult<Out> | Promise<SchemaResult<Out>>
    readonly types?: { readonly input: In; readonly output: Out } | undefined
  }
}
export type SchemaResult<Out> =
  | { readonly value: Out; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] }
export interface SchemaIssue {
  readonly message: string
  readonly path?: ReadonlyArray<PropertyKey | { readonly key: PropertyKey }> | undefined
}

/** A schema that is made when it is first used, so that no start pays for schemas it never comes to. */
export function lazySchema<T>(make: () => Schema<T>): Schema<T> {
  let made: Schema<T> | undefined
  return {
    '~standard': {
      version: 1,
      vendor: 'devstack',
      validate: (value) => {
        made ??= make()
        return made['~standard'].validate(value)
      },
    },
  }
}

/** The keys that lead to what an issue of a Standard Schema is about. */
export function issuePath({ path = [] }: SchemaIssue): readonly string[] {
  return path.map((part) => String(typeof part === 'object' ? part.key : part))
}

/** `path: message`, for an issue of a Standard Schema. */
export function describeIssue(issue: SchemaIssue): string {
  const path = issuePath(issue).join('.')
  return path === '' ? issue.message : `${path}: ${issue.message}`
}
