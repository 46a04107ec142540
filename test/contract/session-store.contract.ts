import { describe } from "vitest";

import { describeAudit } from "./facts/audit.js";
import { describeCreate } from "./facts/create.js";
import { describeIncident } from "./facts/incident.js";
import { describeMeasure } from "./facts/measure.js";
import { describeModel } from "./facts/model.js";
import { describeRead } from "./facts/read.js";
import { describeReap } from "./facts/reap.js";
import { describeReplace } from "./facts/replace.js";
import { describeRevokeDevice } from "./facts/revoke-device.js";
import { describeRevokeScope } from "./facts/revoke-scope.js";
import { describeRevoke } from "./facts/revoke.js";
import { describeRotate } from "./facts/rotate.js";
import { describeTenantCap } from "./facts/tenant-cap.js";
import { describeTenants } from "./facts/tenants.js";
import { describeTouch } from "./facts/touch.js";
import { describeUpdate } from "./facts/update.js";
import { describeValidate } from "./facts/validate.js";
import type { ContractOptions, CreateHarness } from "./harness.js";
import { factsOf } from "./world.js";

/** What every session store does, as tests. */
export function describeSessionStore(
  name: string,
  createHarness: CreateHarness,
  options: ContractOptions = {},
): void {
  describe(`the session store: ${name}`, () => {
    const fact = factsOf(createHarness, options);
    describeCreate(fact);
    describeTenantCap(fact);
    describeValidate(fact);
    describeTouch(fact);
    describeRead(fact);
    describeUpdate(fact);
    describeRotate(fact);
    describeReplace(fact);
    describeRevoke(fact);
    describeRevokeScope(fact);
    describeRevokeDevice(fact);
    describeReap(fact);
    describeAudit(fact);
    describeIncident(fact);
    describeTenants(fact);
    describeMeasure(fact);
    describeModel(fact);
  });
}
