// The box that an error is pasted into, and the site's search for a message. Entries are ranked in the
// browser: what is pasted stays there. The same algorithm as livecell/messages.py, and a test holds
// the two together.
{
  const ENOUGH = .8
  const FEWEST = 2
  const TELLING = 4
  const SHOWN = 3

  const words = text =>
    text.normalize("NFKC").replace(/(?<=[a-z])(?=[A-Z])/g, " ").toLowerCase()
      .replace(/\b0x[0-9a-f]+\b|\b(?:[a-z_]+ )?(?:error|exception|warning):/g, " ")
      .match(/[a-z_]+|[\u3400-\u9fff]/g) ?? []
  const features = text => {
    const found = words(text)
    return new Set([...found, ...found.slice(1).map((word, n) => `${found[n]} ${word}`)])
  }
  const pasted = text =>
    new Set([...features(text), ...features(text.replace(/\s*\n[\s|>]*/g, ""))])

  // Answers before guesses; among answers the longest message, among guesses the likeliest. Rounded:
  // where two entries have the same message, the one that is listed first comes first.
  const isKnown = match => match.score >= ENOUGH && match.shared >= TELLING
  const worth = match => round(match.weight * match.score)
  const round = number => Math.round(number * 1e6)
  const order = (a, b) =>
    isKnown(b) - isKnown(a) ||
    (isKnown(a) ? worth(b) - worth(a) : 0) ||
    round(b.score) - round(a.score) ||
    a.place - b.place

  class Index {
    constructor(patterns) {
      this.patterns = patterns.map(([key, pattern]) =>
        [key, new Set(pattern.split("…").flatMap(part => [...features(part)]))])
      const keys = new Map()
      for (const [key, found] of this.patterns)
        for (const feature of found) {
          if (!keys.has(feature)) keys.set(feature, new Set())
          keys.get(feature).add(key)
        }
      const all = new Set(patterns.map(([key]) => key)).size
      this.weights = new Map([...keys].map(([feature, of]) => [feature, Math.log(1 + all / of.size)]))
    }

    rank(text) {
      const sum = found => found.reduce((total, feature) => total + this.weights.get(feature), 0)
      const given = pasted(text)
      const known = [...given].filter(feature => this.weights.has(feature))
      const strange = [...features(text)].filter(feature => !this.weights.has(feature))
      const whole = sum(known) + Math.max(0, ...this.weights.values()) * strange.length
      const best = new Map()
      for (const [place, [key, pattern]] of this.patterns.entries()) {
        const shared = [...pattern].filter(feature => given.has(feature))
        if (shared.length < FEWEST) continue
        const weight = sum(shared)
        const score = Math.max(weight / sum([...pattern]), weight / whole)
        const match = { key, score, weight, shared: shared.length, place }
        if (!best.has(key) || order(match, best.get(key)) < 0) best.set(key, match)
      }
      return [...best.values()].sort(order)
    }
  }

  // What the atlas holds is a script of its own, loaded when somebody is about to ask: a script, not
  // data, because it must also load from a disk.
  const here = document.currentScript.src
  let loading
  const load = () => loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script")
    script.src = new URL("atlas.js", here)
    script.onload = () => {
      const entries = new Map(window.livecellAtlas.map(entry => [entry.key, entry]))
      const index = new Index([...entries.values()].flatMap(({ key, patterns }) =>
        patterns.map(pattern => [key, pattern])))
      resolve({ entries, index })
    }
    script.onerror = reject
    document.head.append(script)
  })

  const element = (tag, text = "", attributes = {}) => {
    const made = Object.assign(document.createElement(tag), attributes)
    text.split("`").forEach((part, n) => {
      if (n % 2) made.append(element("code", part))
      else if (part) made.append(part)
    })
    return made
  }
  const address = entry => new URL("../" + entry.href, here).href
  const answers = matches =>
    matches.filter(match => isKnown(match) && worth(match) === worth(matches[0])).slice(0, SHOWN)

  // --- The box.
  const form = document.querySelector(".lc-paste")
  if (form) {
    const text = form.querySelector("textarea")
    const found = form.querySelector(".lc-found")
    const said = found.dataset

    const show = async () => {
      const { entries, index } = await load()
      const matches = text.value.trim() ? index.rank(text.value) : []
      const known = answers(matches)
      found.replaceChildren()
      if (!text.value.trim()) return
      found.dataset.said = known.length ? "known" : matches.length ? "guess" : "unknown"
      found.append(element("p", said[found.dataset.said]))
      for (const { key } of known.length ? known : matches.slice(0, SHOWN)) {
        const entry = entries.get(key)
        const box = element("div", "", { className: "lc-entry" })
        const title = element("p", "", { className: "lc-entry-title" })
        title.append(element("a", entry.title, { href: address(entry) }))
        const list = element("dl")
        list.append(element("dt", said.means), element("dd", entry.means))
        list.append(element("dt", said.cure), element("dd", entry.cure))
        box.append(title, list)
        found.append(box)
      }
    }

    form.hidden = false
    form.addEventListener("submit", event => event.preventDefault())
    text.addEventListener("focus", load, { once: true })
    text.addEventListener("input", show)
    if (text.value) show() // the browser has kept what was pasted before
    form.rank = async text => (await load()).index.rank(text)
  }

  // --- Material's search ranks words; whoever searches for a message means its entry. A message is
  // English and has some length: what is shorter, or Chinese, are words to search for.
  const isMessage = text => words(text).filter(word => word < "\u3400").length >= TELLING
  const query = document.querySelector(".md-search__input")
  const results = document.querySelector(".md-search-result__list")
  if (query && results) {
    const first = element("div", "", { className: "lc-search-answer" })
    results.before(first)
    const show = async () => {
      const { entries, index } = await load()
      const asked = query.value
      const known = isMessage(asked) ? answers(index.rank(asked)) : []
      first.replaceChildren(...known.map(({ key }) => {
        const entry = entries.get(key)
        const link = element("a", "", { href: address(entry), className: "md-search-result__link" })
        const article = element("article", "", { className: "md-search-result__article md-typeset" })
        article.append(element("h1", entry.title), element("p", entry.means))
        link.append(article)
        return link
      }))
      first.dataset.asked = asked
    }
    query.addEventListener("focus", load, { once: true })
    for (const kind of ["input", "keyup", "focus"]) query.addEventListener(kind, show)
    query.form?.addEventListener("reset", () => first.replaceChildren())
  }
}
