// @segment/analytics-node against a running server.
'use strict'
const { Analytics } = require('@segment/analytics-node')

const [host, userId] = process.argv.slice(2)
const ago = seconds => new Date(Date.now() - seconds * 1000)
const client = new Analytics({ writeKey: 'any key', host, flushInterval: 50 })
const problems = []
client.on('error', e => problems.push(e))

client.identify({ userId, traits: { plan: 'free', visits: 1, address: { city: 'Köln' } }, timestamp: ago(50) })
client.track({ userId, event: 'Play Finished', properties: { contentId: 'c1', length: { seconds: 30.5 } }, timestamp: ago(40) })
client.track({ userId, event: 'Play Finished', properties: { content_id: 'c2 🎧', length: { seconds: 12 } }, timestamp: ago(30) })
client.page({ userId, category: 'Tabs', name: 'Home', properties: { title: 'x' }, context: { locale: 'de-DE' }, timestamp: ago(28) })
client.screen({ userId, category: 'Tabs', name: 'Player', timestamp: ago(26) })
client.group({ userId, groupId: 'team 7', traits: { employees: 12 }, timestamp: ago(24) })
client.alias({ userId, previousId: 'before', timestamp: ago(22) })
client.identify({ userId, traits: { plan: 'plus' }, timestamp: ago(20) })
client.track({ userId, event: 'Not in the project', timestamp: ago(10) })

client.closeAndFlush({ timeout: 60_000 }).then(() => {
  if (problems.length > 0) throw problems[0]
  console.log('ok')
})
