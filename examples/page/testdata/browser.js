// Drives the page in the browser that is installed: the list that is shown changes with each click. With a third argument it
// leaves pictures of the page in that folder.
'use strict'
const assert = require('node:assert/strict')
const path = require('node:path')
const { chromium } = require('playwright-core')

const [executablePath, url, pictures] = process.argv.slice(2)
const looks = [
  { name: 'light', colorScheme: 'light', width: 1280, height: 900 },
  { name: 'dark', colorScheme: 'dark', width: 1280, height: 900 },
  { name: 'narrow', colorScheme: 'light', width: 390, height: 844 },
]

async function visit(browser) {
  const page = await browser.newPage()
  page.setDefaultTimeout(120_000) // of a machine that does much else
  const problems = []
  page.on('pageerror', e => problems.push(e.message))
  page.on('console', m => { if (m.type() === 'error') problems.push(m.text()) })
  await page.goto(url)
  const list = () => page.$$eval('#items li', all => all.map(li => li.dataset.id).join(' '))
  await page.waitForSelector('#items li:nth-child(10)')
  const first = await list()

  for (const [i, button] of ['#shelf .listen >> nth=0', '#shelf .listen >> nth=1', '#items .skip >> nth=0', '#shelf .listen >> nth=2'].entries()) {
    const counts = `plays ${i + 1} finished ${i < 2 ? i + 1 : i} skipped ${i < 2 ? 0 : 1}`
    await page.click(button)
    await page.waitForFunction(want => document.querySelector('#counts').innerText.replace(/\s+/g, ' ') === want, counts)
  }
  assert.notEqual(await list(), first, 'the list is the one from before')
  assert.match(await page.innerText('#took'), /^new list \d+ ms after your click$/)

  for (const look of looks) {
    await page.emulateMedia({ colorScheme: look.colorScheme })
    await page.setViewportSize(look)
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true, `the page is wider than the ${look.name} window`)
    if (!pictures) continue
    await page.waitForFunction(() => document.getAnimations().every(a => a.playState === 'finished'))
    await page.screenshot({ path: path.join(pictures, look.name + '.png'), fullPage: look.name === 'narrow' })
  }

  await page.click('#fresh')
  await page.waitForSelector('#history .none')
  assert.equal(await page.isHidden('#problem'), true)
  assert.deepEqual(problems, [])
}

async function main() {
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'] })
  try {
    await visit(browser)
  } finally {
    await browser.close()
  }
  console.log('ok')
}

main()
