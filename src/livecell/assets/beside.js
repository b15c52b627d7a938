// Side by side: under (or beside) each block of prose its twin in the other language; code, outputs and
// formulas stand once. The twin's prose comes from the script that the build wrote beside the twin
// page, when it is asked for.
//
// `livecell check` holds both pages to the same headings, cells, boxes and images in the same order.
// What stands between two of these is paired one to one where there are as many blocks of a kind,
// and as a whole otherwise.
{
  const IGNORED = "aside, nav, form, button, [data-beside-not], .lc-lag, script, style, hr, br, .md-content__button, .md-source-file, .md-feedback"
  const ONCE = ".livecell, .highlight, pre, .math, .lc-names"
  const BLOCK = /^(ADDRESS|BLOCKQUOTE|DD|DETAILS|DIV|DL|DT|FIGCAPTION|FIGURE|H[1-6]|LI|OL|P|PRE|SECTION|SUMMARY|TABLE|TBODY|TD|TFOOT|TH|THEAD|TR|UL)$/
  const KEPT = "lc-beside" // the reader's choice, in the browser

  const button = document.querySelector("button[data-beside]")
  const root = document.querySelector("article") ?? document.querySelector("main, [role=main]")
  const undo = []

  // --- What a block is. Text that stands in an element beside blocks is a block, too.

  const isBlock = node => node.nodeType === Node.ELEMENT_NODE && BLOCK.test(node.tagName)
  const isEmpty = node => // a place that the theme of the other page fills
    isBlock(node) && !node.textContent.trim() && !node.matches(ONCE) && !node.querySelector("img, svg")
  const isBlank = node => node.nodeType === Node.COMMENT_NODE ||
    (node.nodeType === Node.TEXT_NODE && !node.data.trim())

  // The blocks directly in `element`: elements, or arrays of nodes that make up a run of text.
  const blocks = element => {
    const found = []
    let text = []
    const end = () => {
      if (text.some(node => !isBlank(node))) found.push(text)
      text = []
    }
    for (const node of element.childNodes) {
      if (node.nodeType === Node.ELEMENT_NODE && (node.matches(IGNORED) || isEmpty(node))) end()
      else if (isBlock(node)) {
        end()
        // Material puts a frame around every table.
        found.push(node.matches(".md-typeset__scrollwrap") ? node.querySelector("table") : node)
      } else text.push(node)
    }
    end()
    return found
  }
  const isText = block => Array.isArray(block)
  const isOnce = block => !isText(block) && block.matches(ONCE)
  const isLeaf = block => isText(block) || ![...block.childNodes].some(isBlock)
  const nodes = block => isText(block) ? block : [...block.childNodes]

  // Blocks that are anchors to the others have a name; running text has none.
  const anchor = block => {
    if (isText(block) || block.tagName === "DIV" && !block.className) return ""
    if (block.matches(".livecell")) return `cell ${block.dataset.cell}`
    if (block.matches(".highlight, pre")) return "code"
    if (block.matches(".admonition, details"))
      return `box ${["lc-right", "lc-wrong"].find(name => block.classList.contains(name)) ?? ""}`
    if (block.querySelector(":scope > img, :scope > a > img")) return "image"
    return block.tagName === "P" ? "" : block.tagName
  }

  // --- Pairing.

  // The longest sequence of names that both lists have, as pairs of places.
  const common = (one, two) => {
    const best = Array.from({ length: one.length + 1 }, () => new Uint16Array(two.length + 1))
    for (let i = one.length - 1; i >= 0; i--)
      for (let j = two.length - 1; j >= 0; j--)
        best[i][j] = one[i] && one[i] === two[j]
          ? best[i + 1][j + 1] + 1 : Math.max(best[i + 1][j], best[i][j + 1])
    const pairs = []
    for (let i = 0, j = 0; i < one.length && j < two.length;) {
      if (one[i] && one[i] === two[j]) pairs.push([i++, j++])
      else if (best[i + 1][j] >= best[i][j + 1]) i++
      else j++
    }
    return pairs
  }

  const align = (own, twins, parent) => {
    let [i, j] = [0, 0]
    for (const [next, other] of
      [...common(own.map(anchor), twins.map(anchor)), [own.length, twins.length]]) {
      group(own.slice(i, next), twins.slice(j, other), own[i - 1], parent)
      if (next < own.length) pair(own[next], twins[other])
      ;[i, j] = [next + 1, other + 1]
    }
  }

  const group = (own, twins, before, parent) => {
    if (own.length === twins.length) own.forEach((block, n) => pair(block, twins[n]))
    else if (twins.length) append(twins, own.at(-1) ?? before, parent)
    else seen.alone.push(...own)
    if (own.length && twins.length && own.length !== twins.length) seen.groups.push(own)
    else if (!own.length && twins.length) seen.alone.push(...twins)
  }

  const pair = (own, twin) => {
    if (isOnce(own) && isOnce(twin)) return
    if (isLeaf(own) && isLeaf(twin)) join(nodes(own), nodes(twin))
    else if (isLeaf(own) || isLeaf(twin) || !sameShape(own, twin)) {
      append([twin], own)
      seen.groups.push([own])
    } else align(blocks(own), blocks(twin), own)
  }

  // Items, rows and cells belong together by their place: only where there are as many of them.
  const sameShape = (own, twin) =>
    !/^(DL|OL|TABLE|TBODY|THEAD|TR|UL)$/.test(own.tagName) ||
    ["tr", "th, td", ":scope > li", ":scope > dt", ":scope > dd"].every(name =>
      own.querySelectorAll(name).length === twin.querySelectorAll(name).length)

  // --- What the reader sees.

  const words = nodes => {
    const box = document.createElement("div")
    box.append(...nodes.map(node => node.cloneNode(true)))
    for (const extra of box.querySelectorAll(".lc-card, .headerlink, .lc-pair > .lc-twin")) extra.remove()
    return box.textContent.replace(/\s+/g, " ").trim()
  }

  const made = (tag, name, children) => {
    const element = document.createElement(tag)
    element.className = name
    element.append(...children)
    return element
  }
  const twinned = (tag, children) => {
    const element = made(tag, "lc-twin", children)
    element.lang = button.dataset.lang
    for (const extra of element.querySelectorAll(".headerlink, .livecell, .highlight")) extra.remove()
    return element
  }

  const join = (own, twin) => {
    seen.pairs += 1
    if (words(own) === words(twin)) return // a number, a name: said once
    const place = own.at(-1).nextSibling
    const parent = own[0].parentNode
    const box = made("span", "lc-pair", [made("span", "lc-own", own), twinned("span", twin)])
    parent.insertBefore(box, place)
    undo.push(() => box.replaceWith(...box.firstChild.childNodes))
  }

  const append = (twins, after, parent) => {
    const flat = twins.flatMap(twin => isText(twin) ? twin : [twin])
    const list = !isText(after) && after?.tagName === "LI"
    const box = twinned(list ? "li" : "div", flat)
    if (!after) parent.prepend(box)
    else {
      const last = isText(after) ? after.at(-1) : after
      const frame = last.tagName === "TABLE" ? last.closest(".md-typeset__scrollwrap") ?? last : last
      frame.after(box)
    }
    undo.push(() => box.remove())
  }

  // The twin's page as a tree whose addresses lead where they led there, and whose ids are not ours.
  const read = html => {
    const tree = new DOMParser().parseFromString(html, "text/html").body
    for (const name of ["href", "src"])
      for (const element of tree.querySelectorAll(`[${name}]:not([href^="#"])`))
        element.setAttribute(name, new URL(element.getAttribute(name), page).href)
    for (const element of tree.querySelectorAll("[id]")) element.id = `lc-twin-${element.id}`
    for (const name of ["aria-describedby", "aria-labelledby", "for"])
      for (const element of tree.querySelectorAll(`[${name}]`))
        element.setAttribute(name, `lc-twin-${element.getAttribute(name)}`)
    return document.importNode(tree, true)
  }

  // --- The button, the key, and the reader's place on the page.

  let page
  let loading
  const load = () => loading ??= new Promise((resolve, reject) => {
    page = new URL(button.dataset.beside, location).href
    window.livecellTwin = resolve
    const script = document.createElement("script")
    script.src = page.replace(/\/$/, "/index.html").replace(/\.html$/, ".twin.js")
    script.onerror = () => reject(new Error(script.src))
    document.head.append(script)
  })

  // The first block in sight stays where it is, whatever grows or shrinks above it.
  const keepingPlace = change => {
    const top = document.querySelector("header")?.getBoundingClientRect().bottom ?? 0
    const block = scrollY && [...root.querySelectorAll("p, li, h1, h2, h3, h4, .livecell, table")]
      .find(one => one.getBoundingClientRect().top >= top && one.checkVisibility())
    const before = block && block.getBoundingClientRect().top
    change()
    if (block) scrollBy({ top: block.getBoundingClientRect().top - before, behavior: "instant" })
  }

  const seen = { pairs: 0, groups: [], alone: [] }
  const show = html => {
    Object.assign(seen, { pairs: 0, groups: [], alone: [] })
    align(blocks(root), blocks(read(html)), root)
  }
  const hide = () => { for (const step of undo.splice(0).reverse()) step() }

  const set = async on => {
    button.setAttribute("aria-pressed", on)
    try {
      if (on) localStorage.setItem(KEPT, "on")
      else localStorage.removeItem(KEPT)
    } catch { /* the reader's browser keeps nothing */ }
    let html
    try {
      html = on && await load()
    } catch { // a site without the scripts
      button.hidden = true
      return
    }
    if ((button.getAttribute("aria-pressed") === "true") !== on) return // pressed again meanwhile
    keepingPlace(() => {
      hide()
      if (on) show(html)
      document.documentElement.classList.toggle("lc-beside", on)
    })
  }
  const isOn = () => button.getAttribute("aria-pressed") === "true"

  if (button && root) {
    button.hidden = false
    button.seen = seen
    button.addEventListener("click", () => set(!isOn()))
    document.addEventListener("keydown", event => {
      if (event.key !== "b" || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return
      if (event.target.closest?.("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]")) return
      event.preventDefault()
      set(!isOn())
    })
    let kept = null
    try {
      kept = localStorage.getItem(KEPT)
    } catch { /* as above */ }
    if (kept === "on") set(true)
  }
}
