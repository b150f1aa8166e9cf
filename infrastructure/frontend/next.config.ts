import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { NextConfig } from 'next'

const here = dirname(fileURLToPath(import.meta.url))

const config: NextConfig = {
  output: 'standalone',
  // This folder is a project of its own, whatever lock files lie above it.
  outputFileTracingRoot: here,
  turbopack: { root: here },
  // No image of the page is transformed: the native library for that stays out of the image.
  images: { unoptimized: true },
  outputFileTracingExcludes: { '*': ['node_modules/@img/**', 'node_modules/sharp/**'] },
  poweredByHeader: false,
  // An image build starts from nothing: a cache would be written, and never read.
  experimental: { turbopackFileSystemCacheForBuild: false },
  // Types are checked by `npm run types`, not again at each image build.
  typescript: { ignoreBuildErrors: true },
  // In development the page is opened by either name of this machine.
  allowedDevOrigins: ['127.0.0.1', 'localhost'],
}

export default config
