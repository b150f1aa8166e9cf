import { count, duration, fields, flag, list, type Reader, text, textual } from './readers.ts'
import { composeError } from './tree.ts'

const healthcheckTest: Reader = (node, path) => {
  if (node.kind !== 'list') {
    const line = text(node, path) as string
    return line.trim() === '' ? ['NONE'] : ['CMD-SHELL', line]
  }
  const words = list(textual)(node, path) as string[]
  const [first] = words
  const fits =
    (first === 'NONE' && words.length === 1) ||
    (first === 'CMD' && words.length > 1) ||
    (first === 'CMD-SHELL' && words.length === 2)
  if (fits) return words
  throw composeError('HEALTHCHECK', `${path} must begin with CMD, CMD-SHELL or NONE`, {
    at: node,
    hint: 'Write ["CMD", "program", "argument"] or ["CMD-SHELL", "one shell line"]',
  })
}

const healthcheckFields = fields({
  test: healthcheckTest,
  interval: duration,
  timeout: duration,
  start_period: duration,
  start_interval: duration,
  retries: count,
  disable: flag,
})

/** `healthcheck:`; switched off it is the test `NONE`, and without a test it only changes the times of the image's own. */
export const healthcheck: Reader = (node, path) => {
  const { disable, ...read } = healthcheckFields(node, path)
  return disable === true ? { ...read, test: ['NONE'] } : read
}
