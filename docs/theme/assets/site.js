// What links and CSS cannot do. The site works without it.

// What the reader's browser keeps, if it keeps anything.
const memory = {
  get: key => { try { return localStorage.getItem(key) } catch { return null } },
  set: (key, value) => { try { localStorage.setItem(key, value) } catch { /* then it is asked again */ } },
}

// Language switch: go to the same section, too (headings have the same ids in every language).
for (const link of document.querySelectorAll("a[data-language]")) {
  for (const kind of ["pointerdown", "click"]) {
    link.addEventListener(kind, () => { link.hash = location.hash })
  }
  link.addEventListener("click", () => memory.set("site-language", link.hreflang))
}

// The home page offers the language that the browser asks for first, until the reader has chosen one.
{
  const offers = [...document.querySelectorAll("[data-offer]")]
  const languages = [document.documentElement.lang, ...offers.map(offer => offer.lang)]
    .map(language => language.split("-")[0])
  const wanted = navigator.languages.map(language => language.split("-")[0])
    .find(language => languages.includes(language))
  const offer = offers.find(one => one.lang === wanted)
  if (offer && !memory.get("site-language")) {
    offer.hidden = false
    const close = () => {
      offer.hidden = true
      memory.set("site-language", document.documentElement.lang)
    }
    offer.querySelector("a").addEventListener("click", () => memory.set("site-language", offer.lang))
    offer.querySelector("button").addEventListener("click", close)
    offer.addEventListener("keydown", event => { if (event.key === "Escape") close() })
  }
}

// Menu and search buttons are spans in labels: the label works by itself, the keyboard needs this.
for (const button of document.querySelectorAll("label [role=button]")) {
  button.addEventListener("keydown", event => {
    if (event.key !== "Enter" && event.key !== " ") return
    event.preventDefault()
    button.click()
  })
}

// What is wider than its box can be scrolled by keyboard; what fits needs no stop on the way of Tab.
// Material sees to code as well, but only once it is in view (content.lazy: before, it took a phone
// long to look at one block after the other).
const fits = new ResizeObserver(entries => {
  // First all questions, then all changes: in turns, each question would lay the page out anew.
  const wide = entries.map(({ target }) => target.scrollWidth > target.clientWidth)
  for (const [n, { target }] of entries.entries()) {
    if (wide[n]) target.tabIndex = 0
    else target.removeAttribute("tabindex")
  }
})
for (const box of document.querySelectorAll("pre > code, .lc-output pre, .lc-scroll, div.math"))
  fits.observe(box)

// Material's script wraps every copy button in a <nav>: dozens of nameless landmarks on a page.
new MutationObserver(changes => {
  for (const node of changes.flatMap(change => [...change.addedNodes]))
    if (node.className === "md-code__nav") node.role = "presentation"
}).observe(document.body, { childList: true, subtree: true })
