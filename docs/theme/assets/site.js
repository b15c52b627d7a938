// What links and CSS cannot do. The site works without it.

// Language switch: go to the same section, too (headings have the same ids in every language).
for (const link of document.querySelectorAll("a[data-language]")) {
  for (const kind of ["pointerdown", "click"]) {
    link.addEventListener(kind, () => { link.hash = location.hash })
  }
}

// Material's script presses a focused label[role=button] on Enter; a button answers to Space as well.
document.addEventListener("keydown", event => {
  if (event.key === " " && event.target.matches?.("label[role=button]")) {
    event.preventDefault()
    event.target.click()
  }
})

// Outputs and formulas can be scrolled by keyboard; those that fit need no stop on the way of Tab.
const fits = new ResizeObserver(entries => {
  for (const { target } of entries) {
    target.toggleAttribute("tabindex", target.scrollWidth > target.clientWidth)
    if (target.hasAttribute("tabindex")) target.tabIndex = 0
  }
})
for (const box of document.querySelectorAll(".lc-output pre, div.math")) fits.observe(box)
