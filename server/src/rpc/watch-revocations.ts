import type { WatchRevocationsRequest } from "@coatcheck/proto";

import { TooManyWatchersError, WatchDrainingError } from "../watch/watch-error.js";
import type { CloseCause } from "../watch/watcher-state.js";
import { STREAM_RETRY_MS } from "./held-streams.js";
import type { RevocationEnvironment } from "./revocation-environment.js";
import { parseReceiver } from "./revocation-rules.js";
import { RpcError } from "./status.js";
import type { StreamContext } from "./stream.js";

/** Serves one stream of WatchRevocations. It always ends with an error: a watch has no end. */
export async function watchRevocations(
  environment: RevocationEnvironment,
  request: WatchRevocationsRequest,
  { sink, caller, streamKey }: StreamContext,
): Promise<void> {
  const { watchers, hub, clock } = environment;
  try {
    watchers.admit();
    const deploymentId = await environment.deploymentId();
    const receiver = parseReceiver(request, {
      clock,
      deploymentId,
      heads: hub.heads(),
      caller,
    });
    const cause = await environment.streams.hold(
      streamKey,
      async () => await watchers.serve({ ...receiver, deploymentId }, sink),
    );
    throw endOf(cause);
  } catch (error) {
    throw refusalOf(error);
  }
}

function endOf(cause: CloseCause): RpcError {
  switch (cause) {
    case "ended":
      // Nobody is left to read it.
      return new RpcError("NOT_STARTED", "The stream was closed");
    case "drained":
      return new RpcError("DRAINING", "The replica ends this stream: reconnect");
    case "too-slow":
      return new RpcError(
        "WATCHER_TOO_SLOW",
        "The watcher did not read for as long as max_staleness: reconnect with the position",
      );
    case "behind":
      return new RpcError(
        "BEHIND",
        "This replica has been behind the position for as long as max_staleness",
      );
  }
}

function refusalOf(error: unknown): unknown {
  if (error instanceof TooManyWatchersError) {
    return new RpcError("TOO_MANY_WATCHERS", error.message, { retryAfterMs: STREAM_RETRY_MS });
  }
  if (error instanceof WatchDrainingError) {
    return new RpcError("DRAINING", error.message);
  }
  return error;
}
