import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parse } from 'yaml'
import { type ComposeModel, formatConfig } from '../../../lib/compose/index.ts'
import { load } from './folder.ts'

const test = suite('compose config')

const full = `
name: demo
x-top: { price: "5$$" }
services:
  web:
    image: nginx:1.25
    build: { context: /src, args: { A: "$$x" }, labels: { extensions: l } }
    command: sh -c "echo $$HOME"
    entrypoint: []
    environment: { A: "a$$b", EMPTY: "", extensions: e, N: "012", Y: "yes" }
    depends_on: { db: { condition: service_healthy, restart: true } }
    ports: ["8080:80", "0.0.0.0:9000-9001:9000-9001/udp", "3000", { target: 5, published: 6, name: n }]
    expose: [80]
    volumes: ["v:/v:ro", "/a:/a", /anon, { type: tmpfs, target: /t, tmpfs: { size: 1m, mode: 0700 } }, { type: volume, source: v, target: /n, volume: { nocopy: true } }]
    tmpfs: ["/run:size=1m,mode=755,uid=3", /x]
    networks: { back: { aliases: [w], ipv4_address: 10.0.0.5, priority: 1, x-n: 1 }, extensions: { } }
    configs: [c, { source: d, target: /d }]
    secrets: [s]
    healthcheck: { test: [CMD, x, "$$y"], interval: 1m30s, timeout: 1500us, retries: 0 }
    stop_grace_period: 1h1m1s
    deploy: { resources: { limits: { cpus: 0.5, memory: 1g }, reservations: { memory: 1m } }, restart_policy: { condition: on-failure } }
    ulimits: { nofile: { soft: 1, hard: 2 } }
    sysctls: { a.b: 1 }
    extra_hosts: ["h=::1"]
    devices: ["/dev/a:/dev/b:r"]
    logging: { driver: local, options: { max-size: 1m } }
    shm_size: 64m
    mem_limit: 1g
    memswap_limit: -1
    restart: "no"
    init: true
    user: "1000"
    pull_policy: always
    profiles: [on]
    x-devstack: { gates: [a, null, 1.5, true], extensions: { b: [] } }
  db: { image: "pg:15", healthcheck: { disable: true, x-h: 1 } }
  off: { image: i, profiles: [off] }
networks:
  back: { internal: true, ipam: { config: [{ subnet: 10.0.0.0/24 }] }, labels: { a: b } }
  extensions: { external: true, name: there }
volumes: { v: { driver_opts: { o: "1$$" }, x-v: 1 }, unused: }
configs: { c: { content: "one\\n$$two\\n" }, d: { environment: VAR } }
secrets: { s: { file: /s } }
`
const options = { profiles: ['on'], environment: { VAR: 'from here' } }

/** What a model says, without where it was read. */
function meaning(model: ComposeModel) {
  const { files: _files, places: _places, warnings: _warnings, disabled: _disabled, services, ...rest } = model
  return {
    ...rest,
    services: Object.fromEntries(Object.entries(services).map(([name, { place: _place, ...one }]) => [name, one])),
  }
}

for (const format of ['yaml', 'json'] as const) {
  test(`${format} reads back as the same model`, async () => {
    const model = await load(full, options)
    const text = await formatConfig(model, format)
    const again = await load(text, options)
    assert.equal(meaning(again), meaning(model))
    assert.is(await formatConfig(again, format), text)
  })
}

test('JSON and YAML say the same', async () => {
  const model = await load(full, options)
  assert.equal(parse(await formatConfig(model, 'yaml')), JSON.parse(await formatConfig(model, 'json')))
})

test('it is short where there is nothing to say', async () => {
  const model = await load('services: { web: { image: i, ports: ["80"], healthcheck: { test: x, interval: 90s } } }')
  assert.is(
    await formatConfig(model, 'yaml'),
    `services:
  web:
    image: i
    networks:
      default: {}
    ports:
      - target: 80
        protocol: tcp
    healthcheck:
      test:
        - CMD-SHELL
        - x
      interval: 1m30s
networks:
  default: {}
`,
  )
})

test('texts that another YAML reader would take for something else are quoted', async () => {
  const model = await load(
    'services: { web: { image: i, environment: { A: "yes", B: "1", C: "0o7", D: "null", E: "1:30", F: "2024-01-01" } } }',
  )
  const text = await formatConfig(model, 'yaml')
  for (const value of ['yes', '1', '0o7', 'null']) assert.match(text, `"${value}"`)
})

test.run()
