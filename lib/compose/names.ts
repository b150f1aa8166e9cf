import { filled, type Reader, text } from './readers.ts'
import { composeError, short } from './tree.ts'

/** References as the distribution specification has them: `[registry[:port]/]name[:tag][@digest]`. */
const imagePattern =
  /^(?:(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[a-fA-F0-9:]+\])(?::\d+)?\/)?[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*(?::[\w][\w.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?$/

export const image: Reader = (node, path) => {
  const found = text(node, path) as string
  if (found.length <= 512 && imagePattern.test(found)) return found
  throw composeError('IMAGE', `${path} is no image reference: "${short(found)}"`, {
    at: node,
    hint: 'Write name:tag in lower case, such as postgres:15 or registry.example.com/team/api:1.2',
  })
}

/** Engine-wide names of containers, networks and volumes. */
export const engineName: Reader = (node, path) => {
  const found = filled(node, path) as string
  if (/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(found)) return found
  throw composeError('NAME', `${path} can not be "${short(found)}": letters, digits, _, . and - are allowed`, {
    at: node,
  })
}
