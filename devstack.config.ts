import { defineConfig } from 'devstack'
import { haStack } from 'devstack/packs'

export default defineConfig({ use: [haStack()] })
