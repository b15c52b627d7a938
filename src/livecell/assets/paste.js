// The box that an error is pasted into. It ranks the entries listed on the page, in the browser: no
// request leaves it. The same algorithm as livecell/messages.py, and a test holds the two together.
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

  const form = document.querySelector(".lc-paste")
  const items = new Map(
    [...document.querySelectorAll("[data-entry]")].map(item => [item.dataset.entry, item]))
  if (form && items.size) {
    const index = new Index([...items].flatMap(([key, item]) =>
      JSON.parse(item.dataset.patterns).map(pattern => [key, pattern])))
    const text = form.querySelector("textarea")
    const found = form.querySelector(".lc-found")

    const show = () => {
      const matches = text.value.trim() ? index.rank(text.value) : []
      const answers = matches.filter(match => isKnown(match) && worth(match) === worth(matches[0]))
      const shown = (answers.length ? answers : matches).slice(0, SHOWN)
      found.replaceChildren()
      if (!text.value.trim()) return
      const said = answers.length ? "known" : shown.length ? "guess" : "unknown"
      found.dataset.said = said
      const head = document.createElement("p")
      head.textContent = found.dataset[said]
      found.append(head)
      for (const { key } of shown) {
        const entry = document.createElement("div")
        entry.className = "lc-entry"
        const title = document.createElement("p")
        title.className = "lc-entry-title"
        for (const part of items.get(key).children)
          if (part.matches("a, small")) title.append(part.cloneNode(true), " ")
        const answer = items.get(key).querySelector(".lc-answer").firstElementChild.cloneNode(true)
        entry.append(title, answer)
        found.append(entry)
      }
    }

    form.hidden = false
    form.addEventListener("submit", event => event.preventDefault())
    text.addEventListener("input", show)
    if (text.value) show() // the browser has kept what was pasted before
    form.rank = pasted => index.rank(pasted)
  }
}
