// Makes the pages handier; all of them work without it.
"use strict";

function addCopyButtons() {
  const status = document.createElement("p");
  status.className = "hidden";
  status.setAttribute("role", "status");
  document.body.append(status);
  for (const box of document.querySelectorAll(".copy")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy-button";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      const done = await copy(box.querySelector("code"));
      button.textContent = done ? "Copied" : "Press Ctrl+C";
      status.textContent = button.textContent;
      setTimeout(() => {
        button.textContent = "Copy";
        status.textContent = "";
      }, 2000);
    });
    box.querySelector(".head").append(button);
  }
}

// Over plain http, browsers have no navigator.clipboard.
async function copy(code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(code);
    return document.execCommand("copy");
  }
}

function searchWhileTyping(form) {
  let timer, running;
  const show = async (query, record) => {
    running?.abort();
    running = new AbortController();
    try {
      const reply = await fetch(query, { signal: running.signal });
      const page = new DOMParser().parseFromString(await reply.text(), "text/html");
      const found = page.getElementById("results");
      if (!found) return location.assign(query); // the session has ended
      document.getElementById("results").replaceWith(found);
      record?.call(history, null, "", query);
    } catch (error) {
      if (error.name !== "AbortError") location.assign(query);
    }
  };
  const queryOf = () => {
    const fields = [...new FormData(form)].filter(([, value]) => value);
    return `?${new URLSearchParams(fields)}`;
  };
  // What is typed replaces the address; a choice is one that Back leads away from.
  form.addEventListener("input", ({ target }) => {
    clearTimeout(timer);
    const isChoice = target.matches("select");
    timer = setTimeout(() => {
      show(queryOf(), isChoice ? history.pushState : history.replaceState);
    }, isChoice ? 0 : 150);
  });
  addEventListener("popstate", () => {
    clearTimeout(timer);
    const given = new URLSearchParams(location.search);
    for (const name of ["q", "repo"]) {
      if (form.elements[name]) form.elements[name].value = given.get(name) ?? "";
    }
    show(location.search || "?");
  });
  form.classList.add("live");
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, select, textarea")) return;
    event.preventDefault();
    form.querySelector("[type=search]").select();
  });
}

addCopyButtons();
const form = document.querySelector("form.search");
if (form) searchWhileTyping(form);
