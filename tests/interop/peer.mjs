// A stock js-libp2p peer for tests/interop/test_js.py. One line of JSON per result on standard
// output.
//
//   node peer.mjs listen [CURVE]        prints {"address": ...}, runs until standard input ends
//   node peer.mjs dial ADDRESS [CURVE]  identify and ten pings, prints what came of it
import tls from 'node:tls'
import { createLibp2p } from 'libp2p'
import { tcp } from '@libp2p/tcp'
import { tls as libp2pTls } from '@libp2p/tls'
import { yamux } from '@libp2p/yamux'
import { identify } from '@libp2p/identify'
import { ping } from '@libp2p/ping'
import { multiaddr } from '@multiformats/multiaddr'

const [mode, ...rest] = process.argv.slice(2)
const address = mode === 'dial' ? rest.shift() : undefined
if (rest.length > 0) {
  tls.DEFAULT_ECDH_CURVE = rest[0]
}

const print = (value) => process.stdout.write(JSON.stringify(value) + '\n')

const node = await createLibp2p({
  addresses: { listen: mode === 'listen' ? ['/ip4/127.0.0.1/tcp/0'] : [] },
  transports: [tcp()],
  connectionEncrypters: [libp2pTls()],
  streamMuxers: [yamux()],
  services: { identify: identify(), ping: ping() }
})

async function dial () {
  const target = multiaddr(address)
  const identified = new Promise((resolve) => {
    node.addEventListener('peer:identify', (event) => resolve(event.detail), { once: true })
  })
  const connection = await node.dial(target, { signal: AbortSignal.timeout(10000) })
  const about = await identified
  const pings = []
  for (let i = 0; i < 10; i++) {
    pings.push(await node.services.ping.ping(connection.remotePeer))
  }
  print({
    ok: true,
    peer: connection.remotePeer.toString(),
    agent: about.agentVersion,
    protocols: about.protocols,
    pings: pings.length,
    encryption: connection.encryption,
    multiplexer: connection.multiplexer
  })
}

if (mode === 'listen') {
  print({ address: node.getMultiaddrs()[0].toString(), version: process.version })
  process.stdin.resume()
  await new Promise((resolve) => process.stdin.on('end', resolve))
} else {
  await dial().catch((error) => print({ ok: false, error: `${error.name}: ${error.message}` }))
}
await node.stop()
process.exit(0)
