import type { ServiceError } from "@grpc/grpc-js";

/** A unary method of a generated client, bound to it. */
export type UnaryMethod<Request, Reply> = (
  request: Request,
  callback: (error: ServiceError | null, reply: Reply) => void,
) => unknown;

/** Calls a generated client's method; rejects with its `ServiceError`. */
export async function unary<Request, Reply>(
  method: UnaryMethod<Request, Reply>,
  request: Request,
): Promise<Reply> {
  return await new Promise((resolve, reject) => {
    method(request, (error, reply) => {
      if (error === null) resolve(reply);
      else reject(error);
    });
  });
}
