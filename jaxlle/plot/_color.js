// Called when another coloring is chosen. Arguments: points (renderer), names (renderers of class names by coloring),
// bars (color bars by coloring), colorings (column and color mapper by coloring).
const chosen = cb_obj.value
const {column, mapper} = colorings[chosen]
for (const glyph of [points.glyph, points.selection_glyph, points.nonselection_glyph]) {
  glyph.fill_color = {field: column, transform: mapper}
}
for (const [coloring, renderers] of Object.entries(names)) {
  for (const renderer of renderers) {
    renderer.visible = coloring == chosen
  }
}
for (const [coloring, bar] of Object.entries(bars)) {
  bar.visible = coloring == chosen
}
