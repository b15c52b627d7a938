// What Material's search needs from us. Loaded before Material's own script.

// The index is bigger than a lesson, and few readers search: it waits until somebody is about to.
{
  const { open, send } = XMLHttpRequest.prototype
  const wanted = new Promise(resolve => {
    // A page that is reached from the results marks the words, and for that it reads the index.
    if (/[?&][hq]=/.test(location.search)) return resolve()
    const search = document.querySelector("[data-md-component=search]")
    for (const kind of ["focusin", "pointerenter"])
      search?.addEventListener(kind, resolve, { once: true })
    document.getElementById("__search")?.addEventListener("change", resolve, { once: true })
  })
  XMLHttpRequest.prototype.open = function (method, url, ...more) {
    this.isIndex = String(url).endsWith("/search_index.json")
    return open.call(this, method, url, ...more)
  }
  XMLHttpRequest.prototype.send = function (body) {
    if (this.isIndex) wanted.then(() => send.call(this, body))
    else send.call(this, body)
  }
}

// A question is put into words that the index can answer, on its way to the worker that searches.
{
  const [SETUP, QUERY] = [0, 2] // types of Material's messages
  const NOISE = new Set((
    "a an and are as at be but by can do does for from how i in is it its my of on or so that the " +
    "their then there this to torch was what when which why with you your"
  ).split(" "))
  const LONGEST = 8
  let separator = /\s+/
  let chinese = new Set() // the words that jieba cut the pages into

  const read = ({ config, docs }) => {
    separator = new RegExp(config.separator)
    chinese = new Set(docs.flatMap(({ title, text, tags = [] }) =>
      [title, text, ...tags].join(" ").split(/[^\p{sc=Han}]+/u)))
  }
  // The longest known word first; single characters (的, 是) tell nothing.
  const cut = run => {
    const found = []
    for (let n = 0, size; n < run.length; n += size) {
      size = Math.min(LONGEST, run.length - n)
      while (size > 1 && !chinese.has(run.slice(n, n + size))) size--
      if (size > 1) found.push(run.slice(n, n + size))
    }
    return found
  }
  // Material looks for whatever begins with a word; the word itself is the better answer. And it cuts
  // Chinese by itself, but never looks at the last character (计算图 becomes 计算): so each word gets
  // one more to lose, which no text has.
  const both = (word, lost = "") => [word + lost, `${word}${lost}^8`]
  const ask = word => {
    if (/^\w+$/.test(word)) return both(word)
    const known = (word.match(/\p{sc=Han}+/gu) ?? []).flatMap(cut)
    const other = word.replace(/\p{sc=Han}+/gu, known.length ? " " : "$&").trim()
    return [...known.flatMap(one => both(one, "〇")), ...other ? [other] : []]
  }
  const rewrite = text => {
    // The reader knows lunr's own language; but -inf and -1 are what they are here, nothing to leave out.
    if (/"|(^|\s)\+\w/.test(text)) return text
    const words = text.split(separator).filter(Boolean)
    const telling = words.filter(word => !NOISE.has(word.toLowerCase()))
    return (telling.length ? telling : words).flatMap(ask).join(" ")
  }

  const { postMessage } = Worker.prototype
  Worker.prototype.postMessage = function (message, ...more) {
    if (message?.type === SETUP) read(message.data)
    else if (message?.type === QUERY) message = { ...message, data: rewrite(message.data) }
    return postMessage.call(this, message, ...more)
  }
}
