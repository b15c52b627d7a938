// Which lessons the reader has read to the end: kept in the browser, and shown in the navigation and
// on the home page.
{
  const KEY = "site-read"
  const MARK = { zh: "读过", en: "read" }[document.documentElement.lang] ?? "read"
  const root = new URL(document.querySelector("meta[name=site-root]").content + "/", location).pathname
  // The address of a page within its language: the same in every language.
  const name = link => link.pathname.slice(root.length)

  const load = () => {
    try {
      const kept = JSON.parse(localStorage.getItem(KEY))
      return new Set(Array.isArray(kept) ? kept : [])
    } catch { return new Set() }
  }
  const save = read => {
    try {
      if (read.size) localStorage.setItem(KEY, JSON.stringify([...read]))
      else localStorage.removeItem(KEY)
    } catch { /* the reader's browser keeps nothing */ }
  }

  const box = document.querySelector(".site-progress")
  const show = read => {
    for (const old of document.querySelectorAll(".site-read")) old.remove()
    for (const link of document.querySelectorAll(".md-nav--primary a.md-nav__link, .site-paths a")) {
      if (link.hash || !read.has(name(link))) continue
      const mark = document.createElement("span")
      mark.className = "site-read"
      mark.setAttribute("role", "img")
      mark.setAttribute("aria-label", MARK)
      mark.textContent = "✓"
      link.append(" ", mark)
    }
    if (!box) return
    const links = [...document.querySelectorAll(".site-paths a")]
    const count = links.filter(link => read.has(name(link))).length
    box.hidden = !count
    box.querySelector("b").textContent = `${count} / ${links.length}`
  }

  box?.querySelector("button").addEventListener("click", () => {
    save(new Set())
    show(new Set())
  })

  const end = document.querySelector("[data-lesson-end]")
  if (end) {
    new IntersectionObserver((entries, observer) => {
      if (!entries.some(entry => entry.isIntersecting)) return
      observer.disconnect()
      const read = load().add(name(location))
      save(read)
      show(read)
    }).observe(end)
  }
  show(load())
}
