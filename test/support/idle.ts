// A process that does nothing, with Node's own answers to signals.

process.stdout.write("idle\n");
setInterval(() => undefined, 1000);
