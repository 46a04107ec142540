import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A certificate with its key, as files and as bytes. */
export interface Certificate {
  readonly certPath: string;
  readonly keyPath: string;
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** What a certificate says. */
export interface Subject {
  /** As openssl writes them: "URI:spiffe://…,DNS:…,IP:…". */
  readonly names: string;
  /** Days it is valid; negative: it has expired. */
  readonly days?: number;
}

const TAGS = { DNS: 0x82, URI: 0x86 } as const;

/** Names with any bytes in them, such as openssl's own notation cannot say. At most 120 in all. */
export function rawNames(names: readonly (readonly [keyof typeof TAGS, string])[]): string {
  const encoded = names.map(([kind, text]) => {
    const bytes = Buffer.from(text, "latin1");
    return Buffer.concat([Buffer.from([TAGS[kind], bytes.length]), bytes]);
  });
  const content = Buffer.concat(encoded);
  const sequence = Buffer.concat([Buffer.from([0x30, content.length]), content]);
  return `DER:${[...sequence].map((byte) => byte.toString(16).padStart(2, "0")).join(":")}`;
}

const CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

/** A certificate authority in a folder of its own, made with the openssl command. */
export class TestCa {
  readonly folder = mkdtempSync(join(tmpdir(), "coatcheck-ca-"));
  readonly path = join(this.folder, "ca.pem");
  readonly #keyPath = join(this.folder, "ca.key");
  #issued = 0;

  constructor(name = "test authority") {
    openssl("req", "-x509", ...CURVE, "-keyout", this.#keyPath, "-out", this.path, "-days", "2",
      "-subj", `/CN=${name}`); // prettier-ignore
  }

  get cert(): Buffer {
    return readFileSync(this.path);
  }

  /** Issues a certificate. */
  issue({ names, days = 1 }: Subject): Certificate {
    const { certPath, keyPath, file } = this.#files();
    writeFileSync(file("ext"), `subjectAltName=${names}\n`);
    openssl("req", ...CURVE, "-keyout", keyPath, "-out", file("csr"), "-subj", "/CN=test");
    openssl("x509", "-req", "-in", file("csr"), "-CA", this.path, "-CAkey", this.#keyPath,
      "-CAcreateserial", "-days", String(days), "-extfile", file("ext"), "-out", certPath); // prettier-ignore
    return read(certPath, keyPath);
  }

  /** A certificate that signs itself, with these names. */
  selfSigned({ names }: Subject): Certificate {
    const { certPath, keyPath } = this.#files();
    openssl("req", "-x509", ...CURVE, "-keyout", keyPath, "-out", certPath, "-days", "1", "-subj",
      "/CN=test", "-addext", `subjectAltName=${names}`); // prettier-ignore
    return read(certPath, keyPath);
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  #files(): { certPath: string; keyPath: string; file: (extension: string) => string } {
    this.#issued += 1;
    const stem = join(this.folder, String(this.#issued));
    return {
      certPath: `${stem}.pem`,
      keyPath: `${stem}.key`,
      file: (extension) => `${stem}.${extension}`,
    };
  }
}

function openssl(...args: string[]): void {
  execFileSync("openssl", args, { stdio: ["ignore", "ignore", "pipe"] });
}

function read(certPath: string, keyPath: string): Certificate {
  return { certPath, keyPath, cert: readFileSync(certPath), key: readFileSync(keyPath) };
}
