/**
 * Milliseconds of the machine's monotonic clock. Unlike `Clock.monotonicMs` it
 * is the same clock in every process of one machine, so that what one process
 * measured can be compared with what another did.
 */
export function machineNowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
