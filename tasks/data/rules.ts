/** What becomes of each column in a sanitized backup. */
export type SanitizeRules = Readonly<Record<string, unknown>>
