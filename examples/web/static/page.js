// What pages do more where scripts run. Each works without this file.
"use strict";

// A button shows what was typed into a password field. The form is sent with the field as it
// was, or browsers would offer to remember the password as plain text.
for (const button of document.querySelectorAll("button[data-reveals]")) {
	const field = document.getElementById(button.dataset.reveals);
	const show = (shown) => {
		field.type = shown ? "text" : "password";
		button.firstElementChild.textContent = shown ? "Hide" : "Show";
	};
	button.hidden = false;
	button.addEventListener("click", () => show(field.type === "password"));
	field.form.addEventListener("submit", () => show(false));
}

// Times are in UTC without a script, and here in the visitor's time zone.
const day = new Intl.DateTimeFormat("en-GB", { dateStyle: "long" });
const moment = new Intl.DateTimeFormat("en-GB", { dateStyle: "long", timeStyle: "short" });
for (const time of document.querySelectorAll("time[datetime]")) {
	const local = ("day" in time.dataset ? day : moment).format(new Date(time.dateTime));
	if ("ago" in time.dataset) { // "3 minutes ago" is the same everywhere
		time.title = local;
		continue;
	}
	time.title = time.textContent;
	time.textContent = local;
}

// Links between the pages of nobody take the typed address along, in the fragment, which is not
// sent to the server.
for (const link of document.querySelectorAll("a[data-carries]")) {
	link.addEventListener("click", () => {
		const typed = document.getElementById(link.dataset.carries).value;
		if (typed) {
			link.hash = new URLSearchParams({ [link.dataset.carries]: typed }).toString();
		}
	});
}
if (location.hash.startsWith("#email=")) {
	const field = document.getElementById("email");
	if (field && !field.value) {
		field.value = new URLSearchParams(location.hash.slice(1)).get("email");
	}
	history.replaceState(null, "", location.pathname + location.search);
}
