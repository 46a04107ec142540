// The incident mode, as replicas, callers and SDKs meet it.

import {
  RotationTrigger,
  SetIncidentModeRequest,
  type SetIncidentModeResponse,
  ValidationOutcome,
  WatchRevocationsRequest,
  type WatchRevocationsResponse,
} from "@coatcheck/proto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { type Authority, type AuthorityOptions, createAuthority } from "#server/server.js";
import type { Store } from "#server/store/store.js";
import { StoreUnavailableError } from "#server/store/store-error.js";

import { eventually } from "../support/eventually.js";
import { createService, warm } from "../support/services.js";
import { failure, invoke, SessionApi } from "../support/session-api.js";
import { storeUnderTest } from "../support/wrapped-store.js";

type CreateStore = NonNullable<AuthorityOptions["createStore"]>;

const MINUTE = { seconds: 60n, nanos: 0 };
const SECOND = { seconds: 1n, nanos: 0 };
const NOTHING = { seconds: 0n, nanos: 0 };

const authorities: Authority[] = [];
const apis: SessionApi[] = [];
let isDeaf = false;
let shared: Store | undefined;
let sets = 0;
let leaders: number[] = [];
let holdBack: Promise<void> | undefined;

beforeEach(() => {
  isDeaf = false;
  shared = undefined;
  sets = 0;
  leaders = [];
  holdBack = undefined;
});

afterEach(async () => {
  for (const api of apis.splice(0)) api.close();
  await Promise.all(authorities.splice(0).map((authority) => authority.close()));
});

/** Every replica of a test works with the same data; `isDeaf` cuts the second one's pulls alone. */
const createStore: CreateStore = (options) => {
  const first = shared;
  if (first === undefined) {
    const store = storeUnderTest.create(options);
    shared = {
      ...bound(store),
      setIncident: async (command) => {
        sets += 1;
        if (command.leads) leaders.push(command.partition);
        return await store.setIncident(command);
      },
    };
    return shared;
  }
  return {
    ...bound(first),
    log: {
      onNudge: () => () => undefined,
      pull: async (...question) => {
        if (isDeaf) throw new StoreUnavailableError("Cannot pull: the test cut it", "no");
        return await first.log.pull(...question);
      },
    },
    setIncident: async (command) => {
      if (command.partition === 12) await holdBack;
      return await first.setIncident(command);
    },
    close: () => Promise.resolve(),
  };
};

function bound(store: Store): Store {
  return {
    kind: store.kind,
    sessions: store.sessions,
    log: store.log,
    audit: store.audit,
    setIncident: (command) => store.setIncident(command),
    start: () => store.start(),
    deploymentId: () => store.deploymentId(),
    condition: () => store.condition(),
    measure: () => store.measure(),
    close: () => store.close(),
  };
}

async function replica(): Promise<{ authority: Authority; api: SessionApi }> {
  const authority = await createAuthority({ createStore });
  authorities.push(authority);
  const api = new SessionApi(authority.address);
  apis.push(api);
  return { authority, api };
}

async function setIncident(
  { admin }: SessionApi,
  request: Partial<SetIncidentModeRequest>,
): Promise<SetIncidentModeResponse> {
  const defaults = SetIncidentModeRequest.create({ lasts: MINUTE });
  return await invoke(admin.setIncidentMode.bind(admin), { ...defaults, ...request });
}

/** The modes that the partitions have: one where all have the same. */
async function modes(): Promise<ReadonlySet<string>> {
  const found = await Promise.all(
    Array.from({ length: 16 }, async (_, partition) => {
      const { incident } = (await shared?.log.pull(partition, undefined, 1)) ?? {};
      return `${incident?.stopCaching} ${incident?.maxStalenessMs}`;
    }),
  );
  return new Set(found);
}

async function opened(api: SessionApi): Promise<WatchRevocationsResponse["body"]> {
  const stream = api.revocations.watchRevocations(WatchRevocationsRequest.create());
  stream.on("error", () => undefined);
  const first = await new Promise<WatchRevocationsResponse>((resolve) => {
    stream.once("data", resolve);
  });
  stream.cancel();
  return first.body;
}

describe("a lower bound", () => {
  it("comes with every Validate, Sync and Opened, at every replica", async () => {
    const first = await replica();
    const second = await replica();
    const { token } = await first.api.create();
    await setIncident(first.api, { maxStaleness: SECOND });

    for (const { api } of [first, second]) {
      // A Sync pulls before it answers, and so the replica has heard.
      expect((await api.sync()).maxStaleness).toEqual(SECOND);
      expect((await api.validate(token)).maxStaleness).toEqual(SECOND);
      expect(await opened(api)).toMatchObject({ $case: "opened", value: { maxStaleness: SECOND } });
    }
  });

  it("is known to an SDK with its next Sync, and so is its end", async () => {
    const { api, authority } = await replica();
    const service = createService(authority.address);
    await service.ready({ signal: AbortSignal.timeout(10_000) });

    await setIncident(api, { maxStaleness: SECOND });
    await eventually(() => service.status().maxStalenessMs === 1_000);
    await setIncident(api, { lasts: NOTHING });
    await eventually(() => service.status().maxStalenessMs === 3_000);
    await service.close();
  });
});

describe("what a replica that hears nothing grants", () => {
  it("is nothing: what it answers may not be kept until it hears again", async () => {
    const { api } = await replica();
    const deaf = await replica();
    const { token } = await api.create();
    await eventually(async () => (await deaf.api.validate(token)).cacheable);

    isDeaf = true;
    await setIncident(api, { stopCaching: true });
    await eventually(async () => !(await deaf.api.validate(token)).cacheable);
    await setIncident(api, { lasts: NOTHING });
    expect((await deaf.api.validate(token)).cacheable).toBe(false);

    isDeaf = false;
    const { outcome } = await eventually(async () => {
      const answer = await deaf.api.validate(token);
      return answer.cacheable && answer;
    });
    expect(outcome).toBe(ValidationOutcome.VALID);
  });

  it("is the mode's from its first answer on, where it starts during the incident", async () => {
    const { api } = await replica();
    const { token } = await api.create();
    await setIncident(api, { stopCaching: true, stopCreating: true });

    const late = await replica();

    expect(await late.api.validate(token)).toMatchObject({
      cacheable: false,
      maxStaleness: NOTHING,
    });
    expect(await failure(late.api.create())).toMatchObject({ code: "RESOURCE_EXHAUSTED" });
  });
});

describe("stopped caching", () => {
  it("lets a service start: ready means as fresh as the authority lets it be", async () => {
    const { api, authority } = await replica();
    const { token } = await api.create();
    await setIncident(api, { stopCaching: true });
    const service = createService(authority.address);

    await service.ready({ signal: AbortSignal.timeout(10_000) });
    const answers = [await service.validate(token), await service.validate(token)];

    expect(answers).toMatchObject([{ source: "authority" }, { source: "authority" }]);
    await setIncident(api, { lasts: NOTHING });
    await warm(service, token);
    await service.close();
  });

  it("ends by itself, and caches answer again", async () => {
    const { api, authority } = await replica();
    const { token } = await api.create();
    const service = createService(authority.address);
    await setIncident(api, { stopCaching: true, lasts: { seconds: 0n, nanos: 300_000_000 } });

    await warm(service, token);
    await service.close();
  });
});

describe("stopped creation", () => {
  it("refuses to create and to log in, changes nothing, and lets tokens rotate", async () => {
    const { api } = await replica();
    const anonymous = await api.create({ subject: "" });
    const { token } = await api.create();
    await setIncident(api, { stopCreating: true });
    await api.sync();

    const logIn = { token: anonymous.token, trigger: RotationTrigger.LOGIN, bindSubject: "bob" };
    expect(await failure(api.create())).toMatchObject({ metadata: { incident: "stop_creating" } });
    expect(await failure(api.rotate(logIn))).toMatchObject({
      metadata: { incident: "stop_creating" },
    });
    const rotated = await api.rotate({ token, trigger: RotationTrigger.REAUTHENTICATION, aal: 2 });

    expect(rotated.outcome).toBe(ValidationOutcome.VALID);
    expect((await api.validate(anonymous.token)).outcome).toBe(ValidationOutcome.VALID);
    expect((await api.list({ subject: "bob" })).sessions).toEqual([]);
    await setIncident(api, { lasts: NOTHING });
    await api.sync();
    expect((await api.rotate(logIn)).outcome).toBe(ValidationOutcome.VALID);
  });
});

describe("two calls at a time", () => {
  it("are settled where one is overtaken half-way: the one that goes last holds everywhere", async () => {
    const { api } = await replica();
    const slow = await replica();
    let release: (() => void) | undefined;
    holdBack = new Promise((resolve) => {
      release = resolve;
    });
    const overtaken = setIncident(slow.api, { stopCaching: true });
    await eventually(() => sets === 15);
    await setIncident(api, { maxStaleness: SECOND });
    release?.();
    await overtaken;

    expect(await modes()).toEqual(new Set(["true undefined"]));
  });

  it("cost a second round; a call alone is ranked by one partition and sets each once", async () => {
    const { api } = await replica();

    await setIncident(api, { stopCaching: true });

    expect(sets).toBe(16);
    expect(leaders).toEqual([0]);
  });

  it("leave one of the two modes in every partition, never a mixture", async () => {
    const { api } = await replica();
    for (let round = 0; round < 20; round += 1) {
      await Promise.all([
        setIncident(api, { stopCaching: true }),
        setIncident(api, { maxStaleness: SECOND }),
        setIncident(api, { lasts: NOTHING }),
      ]);

      expect((await modes()).size).toBe(1);
    }
  });

  it("hold after the leading partition has lost its rank in a failover", async () => {
    const { api } = await replica();
    const hour = 3_600_000;
    const ahead = {
      lastsMs: 0,
      maxStalenessMs: undefined,
      stopCaching: false,
      stopCreating: false,
      rank: Date.now() + hour,
      leads: true,
      eventId: "ahead",
      audit: undefined,
      reasonAdmin: "",
    };
    await shared?.setIncident({ ...ahead, partition: 9 });

    await setIncident(api, { stopCaching: true });

    expect((await shared?.log.pull(9, undefined, 1))?.incident).toMatchObject({
      stopCaching: true,
    });
  });
});
