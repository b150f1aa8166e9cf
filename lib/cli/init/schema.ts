/** The JSON Schema of YAML and JSON configs, for editors. */

/** Made from the zod schema that reads such configs, so it can not say anything else than devstack does. */
export async function configSchema(): Promise<Readonly<Record<string, unknown>>> {
  const [{ z }, { plainConfigSchema }] = await Promise.all([import('zod'), import('../../config/schema.ts')])
  return {
    title: 'devstack config',
    description:
      'Tasks and settings of devstack, as devstack.config.yaml, devstack.config.json or package.json#devstack.',
    ...z.toJSONSchema(plainConfigSchema, { io: 'input', unrepresentable: 'any' }),
  }
}
