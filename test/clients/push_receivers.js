// Two receivers that other people wrote: a browser behind a push service (web-push-testing), and a verifier of Standard Webhooks
// (standardwebhooks). Prints their addresses as one line of JSON and ends with its standard input.
const http = require('http');
const WebPushTestingServer = require('web-push-testing/src/server');
const { PushApiModel } = require('web-push-testing/src/PushApiModel');
const { Webhook } = require('standardwebhooks');

const verifier = new Webhook(process.argv[2]);
const hooks = http.createServer((request, response) => {
  let body = '';
  request.on('data', (chunk) => { body += chunk; });
  request.on('end', () => {
    try {
      const event = verifier.verify(body, request.headers);
      response.writeHead(200).end();
      console.log(JSON.stringify({ verified: event }));
    } catch (error) {
      response.writeHead(401).end(error.message);
    }
  });
});

const log = console.log;
console.log = () => {}; // the server below says that it runs
const model = new PushApiModel();
const browser = new WebPushTestingServer(model, 0);
browser.startServer();
browser._server.on('listening', () => {
  const webpush = `http://localhost:${browser._server.address().port}`;
  model.notifyUrl = `${webpush}/notify/`;
  hooks.listen(0, '127.0.0.1', () => {
    console.log = log;
    console.log(JSON.stringify({ webpush, webhook: `http://127.0.0.1:${hooks.address().port}` }));
  });
});
process.stdin.resume().on('end', () => process.exit(0));
