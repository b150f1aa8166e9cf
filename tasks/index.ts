/** The built-in packs. */
export {}
