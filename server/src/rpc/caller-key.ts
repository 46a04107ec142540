import { type Caller, LOCAL_CALLER } from "../callers/caller.js";

/**
 * Under what name a caller's calls are counted: its own where it is known, and
 * the address it calls from where nobody is told apart. `peer` is `host:port` as
 * grpc-js has it; the port is of one connection and not of a caller.
 */
export function callerKey(caller: Caller, peer: string): string {
  return caller === LOCAL_CALLER ? `address ${hostOf(peer)}` : `caller ${caller.name}`;
}

/** Whether a name that `callerKey` gave is an address. */
export function isAddress(key: string): boolean {
  return key.startsWith("address ");
}

/** Under what name a caller's streams are counted: an instance of it, not the fleet. */
export function streamKey(caller: Caller, peer: string): string {
  return `${caller.name} ${hostOf(peer)}`;
}

function hostOf(peer: string): string {
  return peer.replace(/:\d+$/, "");
}
