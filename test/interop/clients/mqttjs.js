// MQTT.js under the command line of test/system/lib/interop.py.
const fs = require('fs');
const mqtt = require('mqtt');

const action = process.argv[2];
const o = {};
for (let i = 3; i + 1 < process.argv.length; i += 2) o[process.argv[i].slice(2)] = process.argv[i + 1];

const say = (...words) => process.stdout.write(words.join(' ') + '\n');
const client = mqtt.connect({
  protocol: 'mqtts',
  host: '127.0.0.1',
  port: Number(o.port),
  protocolVersion: Number(o.version),
  clientId: o.id,
  clean: true,
  reconnectPeriod: 0,
  ca: fs.readFileSync(o.ca),
  cert: fs.readFileSync(o.cert),
  key: fs.readFileSync(o.key),
});
let over = false;

function finish(word) {
  if (over) return;
  over = true;
  say(word);
  client.end(false, () => process.exit(0));
}

client.on('error', (error) => {
  if (action === 'pub') finish('CLOSED ' + error.message);
});
client.on('close', () => {
  if (action === 'pub') finish('CLOSED');
});
client.on('message', (topic, payload, packet) => {
  say('MESSAGE', topic, payload.toString('hex'), packet.qos);
});
client.once('connect', () => {
  const qos = Number(o.qos);
  if (action === 'sub') {
    client.subscribe(o.topic, { qos }, (error, granted) => {
      say('SUBSCRIBED', error ? 128 : granted[0].qos);
    });
  } else {
    client.publish(o.topic, fs.readFileSync(o.file), { qos }, (error) => {
      if (!error) finish('PUBLISHED');
      else finish(error.code >= 0x80 ? 'REFUSED' : 'CLOSED ' + error.message);
    });
  }
});
