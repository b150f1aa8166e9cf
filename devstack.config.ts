import { defineConfig } from 'devstack'
import { dataPack, haStack, resiliencePack } from 'devstack/packs'

export default defineConfig({
  use: [
    haStack(),
    dataPack({ migrations: 'infrastructure/backend/migrations', seeds: 'infrastructure/backend/seeds' }),
    resiliencePack(),
  ],
})
