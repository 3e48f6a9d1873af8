// Lists the selected points. Arguments: source (columns of the points), list (where they are listed), classes (column and colors
// of class names by the title of the coloring), thumbnails (sizes, or null), has_texts, help (shown if nothing is selected).
const IMAGES = 120
const TEXTS = 20
const CLASSES = 12
const escaped = (text) => {
  const element = document.createElement("span")
  element.textContent = text
  return element.innerHTML
}
const number = (value) => value.toLocaleString("en")

const table = (title, {column, colors}, chosen) => {
  const counts = new Map()
  for (const i of chosen) {
    const name = source.data[column][i]
    counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  const largest = [...counts].sort((a, b) => b[1] - a[1]).slice(0, CLASSES)
  const lines = largest.map(([name, count]) => {
    const dot = name in colors ? `<span class="dot" style="background:${colors[name]}"></span>` : ""
    return `<tr><td>${number(count)}</td><td>${dot}${escaped(name)}</td></tr>`
  })
  const more = counts.size - largest.length
  const rest = more > 0 ? `<tr><td></td><td>${number(more)} more</td></tr>` : ""
  return `<div class="title">${escaped(title)}</div><table>${lines.join("")}${rest}</table>`
}

const image = (i) => {
  const {width, height, sheet_width} = thumbnails
  const place = `-${source.data.left[i]}px -${source.data.top[i]}px/${sheet_width}px auto`
  const style = `width:${width}px;height:${height}px;background:var(--thumbnails) ${place}`
  return `<span title="row ${escaped(source.data.row[i])}" style="${style}"></span>`
}

const selection = (chosen) => {
  const rows = source.data.row
  const parts = [`<b>${number(chosen.length)} of ${number(rows.length)} points</b>`]
  parts.push(`<div class="title">rows</div><textarea readonly>${escaped(chosen.map((i) => rows[i]).join(", "))}</textarea>`)
  for (const [title, coloring] of Object.entries(classes)) {
    parts.push(table(title, coloring, chosen))
  }
  if (thumbnails !== null) {
    parts.push(`<div class="images">${chosen.slice(0, IMAGES).map(image).join("")}</div>`)
  }
  if (has_texts) {
    parts.push(...chosen.slice(0, TEXTS).map((i) => `<p><b>${escaped(rows[i])}</b> ${escaped(source.data.text[i])}</p>`))
  }
  return parts.join("")
}

const order = (a, b) => source.data.row[a] < source.data.row[b] ? -1 : 1
const chosen = Array.from(source.selected.indices).sort(order)
list.text = chosen.length > 0 ? selection(chosen) : help
