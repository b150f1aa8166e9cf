/** What a look into the clusters gives. JSON-safe; types alone. */

/** A member's answer, or why there is none. */
export type Told<T> = ({ readonly member: string } & T) | { readonly member: string; readonly error: string }

export interface Inspection {
  readonly etcd: {
    readonly leader: string | null
    /** Revision of a linearizable read; null without a quorum. */
    readonly revision: number | null
    readonly members: readonly Told<{
      readonly role: string
      readonly term: number
      readonly index: number
      readonly sizeBytes: number
      readonly alarms: readonly string[]
      readonly version: string
    }>[]
  }
  readonly postgresql: {
    readonly members: readonly Told<{
      readonly role: string
      readonly state: string
      readonly timeline: number | null
      readonly lagBytes: number | null
      readonly lagSeconds: number | null
    }>[]
    readonly synchronousStandby: string | null
    readonly slots: readonly { readonly name: string; readonly active: boolean; readonly retainedBytes: number }[]
    /** Ends of earlier timelines, the newest last. */
    readonly history: readonly { readonly timeline: number; readonly reason: string; readonly at: string | null }[]
    readonly maintenance: boolean
  }
  readonly redis: {
    readonly master: string | null
    readonly members: readonly Told<{
      readonly role: string
      readonly offset: number
      readonly behindBytes: number | null
      readonly link: string
      readonly keys: number
    }>[]
  }
  readonly sentinel: {
    readonly members: readonly Told<{
      readonly master: string
      readonly quorum: string
      readonly epoch: number
      readonly replicas: number
      readonly sentinels: readonly string[]
      readonly flags: readonly string[]
    }>[]
  }
  readonly tookMs: number
}
