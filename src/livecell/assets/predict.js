// A choice that is opened opens the output of its box, too. Without this script both are plain folds.
document.addEventListener("toggle", ({ target }) => {
  if (!target.open || !target.matches(".lc-choice")) return
  const reveal = target.closest(".lc-predict").querySelector(".lc-reveal")
  if (reveal) reveal.open = true
}, true)
