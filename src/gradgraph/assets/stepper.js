// Steps through gradgraph's pictures. What it says and shows is in the page: each row of a figure's
// table is a frame, each group with data-state a thing to be seen before ("0-") or after ("0") a node
// ran in pass 0. A script may be there twice (notebooks), and figures may come later.
(() => {
  if (window.gradgraphSteps) return
  window.gradgraphSteps = true
  const calm = matchMedia("(prefers-reduced-motion: reduce)")

  const start = figure => {
    figure.dataset.steps = ""
    const one = name => figure.querySelector(".gg-" + name)
    const frame = one("frame"), fold = one("fold"), stepper = one("stepper")
    new ResizeObserver(() => {
      if (frame.scrollWidth > frame.clientWidth || frame.scrollHeight > frame.clientHeight) frame.tabIndex = 0
      else frame.removeAttribute("tabindex")
    }).observe(frame)
    if (!stepper) return

    const rows = [...figure.querySelectorAll("tbody tr")], last = rows.length - 1
    const bodies = [...figure.querySelectorAll("tbody")]
    const nodes = [...figure.querySelectorAll(".gg-node")], edges = [...figure.querySelectorAll(".gg-edge:not(.gg-stub)")]
    const back = one("back"), play = one("play"), step = one("step"), slider = one("slider")
    const status = one("status"), rule = one("rule"), hint = status.textContent
    const words = { play: play.textContent, pause: play.dataset.pause }
    let at = null, timer = 0, printed = null

    // Frame `to`; null: the end, with nothing lit, as it was at first.
    const show = to => {
      const row = rows[to ?? last], body = row.parentNode, pass = bodies.indexOf(body)
      const ran = new Set()
      for (const other of body.rows) {
        ran.add(other.dataset.node)
        if (other === row) break
      }
      const now = to === null ? "" : row.dataset.node ?? "seed"
      for (const item of [...nodes, ...edges]) {
        const { node, from } = item.dataset
        const seed = item.dataset.edge === "seed" || item.matches(".gg-root")
        const id = seed ? "seed" : from ?? node
        const done = seed || ran.has(id)
        item.classList.toggle(item.matches(".gg-edge") ? "gg-on" : "gg-ran", done)
        item.classList.toggle("gg-now", id === now)
        for (const group of item.children) {
          const { state } = group.dataset
          if (!state) continue
          if (state === pass + (done ? "" : "-")) group.removeAttribute("display")
          else group.setAttribute("display", "none")
        }
      }
      at = to
      slider.value = to ?? last
      const [label, sentence, rules] = row.cells
      slider.setAttribute("aria-valuetext", label.textContent)
      status.textContent = to === null ? hint : label.textContent + stepper.dataset.colon + sentence.textContent
      rule.replaceChildren(...to === null ? [] : [...rules.cloneNode(true).childNodes])
      back.setAttribute("aria-disabled", to === 0)
      step.setAttribute("aria-disabled", to === last)
    }

    const reveal = () => {
      const boxes = [...figure.querySelectorAll(".gg-node.gg-now > rect")]
      if (!boxes.length) return
      const box = boxes[0].getBoundingClientRect(), view = frame.getBoundingClientRect()
      const left = box.left < view.left || box.right > view.right
      const top = box.top < view.top + 40 || box.bottom > view.bottom - 40
      frame.scrollBy({
        left: left ? (box.left + box.right - view.left - view.right) / 2 : 0,
        top: top ? (box.top + box.bottom - view.top - view.bottom) / 2 : 0,
        behavior: calm.matches ? "instant" : "smooth",
      })
    }

    const halt = () => {
      clearInterval(timer)
      timer = 0
      play.textContent = words.play
      play.classList.remove("gg-playing")
    }
    const go = to => {
      show(Math.max(0, Math.min(last, to)))
      reveal()
    }
    const forwards = () => go(at === null ? 0 : at + 1)
    const backwards = () => go((at ?? last) - 1)
    const run = () => {
      go(at === null || at === last ? 0 : at + 1)
      play.textContent = words.pause
      play.classList.add("gg-playing")
      timer = setInterval(() => {
        forwards()
        if (at === last) halt()
      }, last > 12 ? 1000 : 1500)
    }

    const keys = {
      ArrowRight: forwards, ArrowUp: forwards, ArrowLeft: backwards, ArrowDown: backwards,
      Home: () => go(0), End: () => go(last),
    }
    back.addEventListener("click", () => { halt(); backwards() })
    step.addEventListener("click", () => { halt(); forwards() })
    play.addEventListener("click", () => { if (timer) halt(); else run() })
    slider.addEventListener("input", () => { halt(); go(+slider.value) })
    stepper.addEventListener("keydown", event => {
      const act = keys[event.key]
      if (!act || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return
      event.preventDefault()
      halt()
      act()
    })
    addEventListener("beforeprint", () => {
      printed = { at, open: fold.open }
      halt()
      fold.open = true
      show(null)
    })
    addEventListener("afterprint", () => {
      if (!printed) return
      fold.open = printed.open
      show(printed.at)
      printed = null
    })
    // A fraction of the way is easier to animate than its length.
    for (const line of figure.querySelectorAll(".gg-edge:not(.gg-stub) > .gg-line")) line.setAttribute("pathLength", 1)
    stepper.hidden = false
    const output = figure.querySelector(".gg-root > rect").getBoundingClientRect(), view = frame.getBoundingClientRect()
    frame.scrollLeft = (output.left + output.right - view.left - view.right) / 2
  }

  const look = () => document.querySelectorAll(".gg-figure:not([data-steps])").forEach(start)
  new MutationObserver(look).observe(document, { childList: true, subtree: true })
  look()
})()
