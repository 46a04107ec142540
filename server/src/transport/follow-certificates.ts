import type { SecureContextOptions } from "node:tls";

import type { experimental } from "@grpc/grpc-js";

type CaUpdate = experimental.CaCertificateUpdate | null;
type IdentityUpdate = experimental.IdentityCertificateUpdate | null;

/**
 * Hands certificates to a listener that is not grpc-js's: once as they are, and
 * whenever they change. Returns what ends that.
 */
export function followCertificates(
  provider: experimental.CertificateProvider,
  apply: (certificates: SecureContextOptions) => void,
): () => void {
  let identity: IdentityUpdate = null;
  let authority: CaUpdate = null;
  function onIdentity(update: IdentityUpdate): void {
    identity = update;
    applyWhole();
  }
  function onAuthority(update: CaUpdate): void {
    authority = update;
    applyWhole();
  }
  function applyWhole(): void {
    if (identity !== null && authority !== null) {
      apply({
        cert: identity.certificate,
        key: identity.privateKey,
        ca: authority.caCertificate,
      });
    }
  }
  provider.addIdentityCertificateListener(onIdentity);
  provider.addCaCertificateListener(onAuthority);
  return () => {
    provider.removeIdentityCertificateListener(onIdentity);
    provider.removeCaCertificateListener(onAuthority);
  };
}
