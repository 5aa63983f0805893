// The page: it sends what one does as events, and asks for the list that follows from them. An answer to events carries a
// position; a read with after=POSITION waits for all that those events caused, so that the list is never the one from before.

const categories = ['Sleep', 'Focus', 'Move', 'Stress']
const page = Object.fromEntries([...document.querySelectorAll('[id]')].map(e => [e.id, e]))
const titles = new Map()
let mood = 'Focus'
let user = sessionStorage.getItem('user') ?? somebody()

// somebody is one of the 2,000 people whom the app's profile table knows: the model needs to know how long they are members.
function somebody() {
  const id = 'u' + String(1 + crypto.getRandomValues(new Uint32Array(1))[0] % 2000).padStart(4, '0')
  sessionStorage.setItem('user', id)
  return id
}

// ask is one request; what is not 2xx is thrown, in the words of the server.
async function ask(path, body) {
  const request = body === undefined ? {} : { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) }
  const answer = await fetch(path, request)
  const value = await answer.json().catch(() => ({}))
  if (!answer.ok) throw new Error(value.detail ?? `${answer.status} ${answer.statusText}`)
  return value
}

// did sends that somebody listened to a title to its end, or skipped it, and shows what follows.
async function did(title, completed) {
  const began = performance.now()
  const event = {
    event_id: crypto.randomUUID?.() ?? `${user}-${Date.now()}-${Math.random()}`, // sent twice, it counts once
    type: 'play', user_id: user, content_id: title.id, category: title.category,
    seconds: completed ? title.minutes * 60 : 5, completed,
  }
  const { position } = await ask('/v1/events', event)
  const after = new URLSearchParams({ after: position, wait: '5s' })
  const prediction = await ask(`/v1/users/${encodeURIComponent(user)}/predictions/today?${after}`)
  const took = performance.now() - began
  showItems(prediction.items)
  page.took.textContent = prediction.stale ? 'the new list is on its way' : `new list ${took.toFixed(0)} ms after your click`
  remember(`${completed ? 'Listened to' : 'Skipped'} ${title.title}`, `${took.toFixed(0)} ms`)
  await showMinutes(after)
}

// begin shows the list for somebody who may have done nothing yet: it is computed now.
async function begin() {
  page.user.textContent = user
  const { items } = await ask('/v1/predict/today', { entity: { user_id: user } })
  showItems(items)
  page.took.textContent = ''
  await showMinutes(new URLSearchParams())
}

async function showMinutes(after) {
  const query = new URLSearchParams(after)
  query.set('user_id', user)
  const [session, recent] = await Promise.all(['session', 'recent'].map(view => ask(`/v1/features/${view}?${query}`)))
  const { session_plays: plays, session_completed: completed } = session.features
  page.counts.replaceChildren(...[['plays', plays], ['finished', completed], ['skipped', plays - completed]].map(([name, value]) => {
    return element('div', {}, element('dt', {}, name), element('dd', {}, String(value)))
  }))
  page.shares.replaceChildren(...categories.map(category => {
    const share = recent.features[`share_${category.toLowerCase()}_5`] ?? 0
    return element('li', { 'data-category': category }, category, bar(share), element('b', {}, `${Math.round(100 * share)} %`))
  }))
}

// showItems moves titles that stay to their new places and lets new ones come.
function showItems(items) {
  const before = new Map([...page.items.children].map(li => [li.dataset.id, { top: li.getBoundingClientRect().top, rank: Number(li.dataset.rank) }]))
  const best = Math.max(...items.map(i => i.score))
  page.items.replaceChildren(...items.filter(i => titles.has(i.id)).map((item, i) => listed(titles.get(item.id), i + 1, item.score / best, before)))
  if (matchMedia('(prefers-reduced-motion: reduce)').matches || before.size === 0) return
  for (const li of page.items.children) {
    const was = before.get(li.dataset.id)
    const from = was ? { transform: `translateY(${was.top - li.getBoundingClientRect().top}px)` } : { opacity: 0, transform: 'translateX(24px)' }
    li.animate([from, { opacity: 1, transform: 'none' }], { duration: 420, easing: 'cubic-bezier(.2,.8,.2,1)' })
  }
}

function listed(title, rank, share, before) {
  const was = before.get(title.id)
  const about = element('div', { class: 'about' }, element('span', {}, `${title.category} · ${title.minutes} min`), bar(share))
  if (before.size > 0 && !was) about.append(element('span', { class: 'moved' }, 'new'))
  if (was && was.rank > rank) about.append(element('span', { class: 'moved', 'aria-label': `up ${was.rank - rank}` }, `↑${was.rank - rank}`))
  return element('li', { 'data-category': title.category, 'data-id': title.id, 'data-rank': rank },
    element('span', { class: 'rank' }, String(rank)), element('span', { class: 'orb' }),
    element('div', {}, element('div', { class: 'name' }, title.title), about),
    element('div', { class: 'do' }, action('Listen', title, true), action('Skip', title, false)))
}

function showShelf() {
  page.moods.replaceChildren(...categories.map(category => {
    const button = element('button', { type: 'button', 'data-category': category, 'aria-pressed': category === mood }, category)
    button.addEventListener('click', () => { mood = category; showShelf() })
    return button
  }))
  const some = [...titles.values()].filter(t => t.category === mood).slice(0, 5)
  page.shelf.replaceChildren(...some.map(title => element('li', { 'data-id': title.id },
    element('span', { class: 'name' }, title.title), element('span', { class: 'about' }, `${title.minutes} min`), action('Listen', title, true))))
}

function action(name, title, completed) {
  const button = element('button', { type: 'button', class: name.toLowerCase(), 'aria-label': `${name}: ${title.title}` }, name)
  button.addEventListener('click', () => attempt(() => did(title, completed)))
  return button
}

function bar(share) {
  const filled = element('i', {})
  filled.style.width = `${100 * Math.max(0, share)}%`
  return element('span', { class: 'bar', 'aria-hidden': true }, filled)
}

function remember(what, took) {
  page.history.querySelector('.none')?.remove()
  page.history.prepend(element('li', {}, element('span', {}, what), element('span', {}, took)))
  while (page.history.children.length > 8) page.history.lastChild.remove()
}

function element(name, attributes, ...children) {
  const e = document.createElement(name)
  for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value)
  e.append(...children)
  return e
}

// attempt runs one thing at a time and says what went wrong.
let busy = false
async function attempt(task) {
  if (busy) return
  busy = true
  try {
    await task()
    page.problem.hidden = true
  } catch (e) {
    page.problem.textContent = e instanceof TypeError ? 'There is no answer; is the page still served?' : e.message
    page.problem.hidden = false
  } finally {
    busy = false
  }
}

page.fresh.addEventListener('click', () => attempt(() => {
  user = somebody()
  page.items.replaceChildren()
  page.history.replaceChildren(element('li', { class: 'none' }, 'Listen to something, or skip it.'))
  return begin()
}))

await attempt(async () => {
  for (const title of await ask('/catalog.json')) titles.set(title.id, title)
  showShelf()
  await begin()
})
