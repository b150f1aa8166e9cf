/** Which reporter shows a run. Each is loaded only when it is chosen. */
import { coloursWanted, createPaint, type Environment } from './format.ts'
import { createLinesReporter } from './lines.ts'
import { combine, type OutputStream, type Sink } from './reporter.ts'

export { replay } from './replay.ts'
export { combine, type OutputStream, type Sink } from './reporter.ts'

export type Renderer = 'tree' | 'lines' | 'github' | 'json' | 'silent'

export interface ReporterOptions {
  /** Default `auto`. */
  readonly renderer?: Renderer | 'auto'
  readonly stdout: OutputStream
  readonly stderr: OutputStream
  readonly environment: Environment
  readonly verbose?: boolean
  readonly quiet?: boolean
}

/**
 * The renderer for these surroundings: GitHub Actions gets its own, any other CI, a pipe and a dumb terminal get lines,
 * a terminal gets the tree.
 */
export function chooseRenderer(options: { readonly isTTY: boolean; readonly environment: Environment }): Renderer {
  const { environment, isTTY } = options
  if (isSet(environment['GITHUB_ACTIONS'])) return 'github'
  if (isSet(environment['CI']) || environment['TERM'] === 'dumb' || !isTTY) return 'lines'
  return 'tree'
}

function isSet(value: string | undefined): boolean {
  return value !== undefined && value !== '' && value !== '0' && value.toLowerCase() !== 'false'
}

/** The reporter for what is shown. `json` and `lines` write to stdout; a sink that fails is told on stderr. */
export async function createReporter(options: ReporterOptions): Promise<Required<Sink>> {
  const { stdout, stderr, environment, renderer = 'auto' } = options
  const chosen = renderer === 'auto' ? chooseRenderer({ isTTY: stdout.isTTY ?? false, environment }) : renderer
  const sink = await load(chosen, options)
  return combine([sink], (message) => stderr.write(`${message}\n`))
}

async function load(renderer: Renderer, options: ReporterOptions): Promise<Sink> {
  const { stdout, environment, verbose = false, quiet = false } = options
  const write = (text: string) => void stdout.write(text)
  const paint = createPaint(coloursWanted({ isTTY: stdout.isTTY ?? false, environment }))
  switch (renderer) {
    case 'tree': {
      if (quiet) break
      const { createTreeReporter } = await import('./tree.ts')
      return createTreeReporter({ stream: stdout, environment, paint })
    }
    case 'lines':
      break
    case 'github': {
      const { createGithubReporter } = await import('./github.ts')
      return createGithubReporter({ write, environment, verbose, quiet })
    }
    case 'json': {
      const { createJsonReporter } = await import('./json.ts')
      return createJsonReporter({ write })
    }
    case 'silent':
      return { report() {} }
  }
  return createLinesReporter({ write, paint, verbose, quiet })
}
