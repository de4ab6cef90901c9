// Shows only the operations whose text has all the words that were typed.
"use strict";
const field = document.getElementById("filter");
const articles = [...document.querySelectorAll("section.tag:not(#schemas) > article")];
const texts = new Map(articles.map((article) => [article, article.textContent.toLowerCase()]));

field.hidden = false;
field.addEventListener("input", () => {
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const article of articles) {
    article.hidden = !words.every((word) => texts.get(article).includes(word));
    for (const link of document.querySelectorAll(`nav li[data-for="${article.id}"]`)) {
      link.hidden = article.hidden;
    }
  }
});
