// Cards of terms open by hover and by focus, without this script. It adds two things: Escape shuts
// a card, and on a touch screen the first tap opens the card, the second one follows the link.
for (const term of document.querySelectorAll(".lc-term")) {
  const close = () => term.classList.remove("lc-open", "lc-shut")
  term.addEventListener("pointerleave", event => { if (event.pointerType !== "touch") close() })
  term.addEventListener("focusout", close)
  term.addEventListener("click", event => {
    if (event.pointerType !== "touch" || term.classList.contains("lc-open")) return
    event.preventDefault()
    term.classList.remove("lc-shut")
    term.classList.add("lc-open")
  })
  document.addEventListener("pointerdown", event => {
    if (!term.contains(event.target)) close()
  })
  document.addEventListener("keydown", event => {
    if (event.key !== "Escape" || !term.matches(".lc-open, :hover, :focus-within")) return
    term.classList.remove("lc-open")
    term.classList.add("lc-shut")
  })
}
