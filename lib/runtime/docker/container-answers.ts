/** What engines say of containers, in our nouns. */
import type { z } from 'zod'
import type { ContainerDetails, ContainerSummary } from '../runtime.ts'
import * as answers from './answers.ts'

/** An entry of a list in our nouns. */
export function summaryOf(one: z.output<typeof answers.containerList>[number]): ContainerSummary {
  return {
    id: one.Id,
    name: (one.Names?.[0] ?? one.Id).replace(/^\//, ''),
    image: answers.familiar(one.Image),
    imageId: answers.digest(one.ImageID),
    state: answers.containerState(one.State),
    status: one.Status,
    labels: one.Labels,
    addresses: one.NetworkSettings?.Networks ?? {},
    ports: answers.publishedPorts(one.Ports),
    createdAt: one.Created * 1000,
  }
}

/** A container as an engine describes it. */
export type Inspected = z.output<typeof answers.containerInspect>

/** An inspection in our nouns. */
export function detailsOf(found: Inspected): ContainerDetails {
  const { State: state } = found
  const current = answers.containerState(state.Status)
  const health = state.Health ?? state.Healthcheck
  const { Test: test, Timeout: timeout } = found.Config.Healthcheck ?? {}
  const policy = found.HostConfig?.RestartPolicy
  return {
    id: found.Id,
    name: found.Name.replace(/^\//, ''),
    image: answers.familiar(found.Config.Image),
    imageId: answers.digest(found.Image),
    state: current,
    status: state.Status,
    labels: found.Config.Labels,
    addresses: found.NetworkSettings?.Networks ?? {},
    ports: answers.inspectedPorts(found.NetworkSettings?.Ports ?? {}),
    createdAt: answers.instant(found.Created),
    pid: state.Pid,
    exitCode: current === 'exited' || current === 'dead' || current === 'restarting' ? state.ExitCode : null,
    oomKilled: state.OOMKilled ?? false,
    restarts: found.RestartCount,
    startedAt: answers.instant(state.StartedAt),
    finishedAt: answers.instant(state.FinishedAt),
    ...(health && { health: { status: healthStatus(health.Status), lastOutput: health.Log.at(-1)?.Output ?? '' } }),
    error: state.Error,
    ...(test?.length && { healthcheck: { test, ...(timeout && { timeoutMs: Math.round(timeout / 1e6) }) } }),
    ...(policy?.Name && {
      restartPolicy: {
        name: policy.Name,
        ...(policy.MaximumRetryCount && { maximumRetries: policy.MaximumRetryCount }),
      },
    }),
  }
}

function healthStatus(said: string): 'starting' | 'healthy' | 'unhealthy' | 'none' {
  return said === 'starting' || said === 'healthy' || said === 'unhealthy' ? said : 'none'
}
